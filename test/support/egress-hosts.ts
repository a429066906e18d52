import { dnsServer } from "./dns-server.ts";

/** What lets tasks of whole `toolx` processes reach a server of a test, under the name `allowed.test`. */
export interface EgressHosts extends AsyncDisposable {
  /** `EGRESS_DNS_SERVERS` and `EGRESS_EXCEPTIONS`, for the processes. */
  readonly env: Readonly<Record<string, string>>;
}

/** A DNS server that leads `allowed.test` to 127.0.0.1, and an exception for it on this port. No other name has an address. */
export async function egressGround(port: number): Promise<EgressHosts> {
  const dns = await dnsServer({ "allowed.test": [["127.0.0.1"]] }, { address: "127.0.0.1", port: 0 });
  return {
    env: {
      EGRESS_DNS_SERVERS: `127.0.0.1:${dns.port}`,
      EGRESS_EXCEPTIONS: `allowed.test:${port}=127.0.0.0/8`,
    },
    [Symbol.asyncDispose]: () => dns[Symbol.asyncDispose](),
  };
}
