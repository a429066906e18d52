import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { VaultAddress } from "../../src/adapters/vault/vault-address.ts";

/** What of a Vault the executor asks: entries, the token's own look at itself, the login of an AppRole. Held to the real one's answers. */
export interface VaultDouble extends AsyncDisposable {
  readonly url: string;
  /** With the token that it knows. */
  readonly address: VaultAddress;
  /** Entries by `MOUNT/data/PATH`. */
  readonly entries: Map<string, Readonly<Record<string, unknown>>>;
  /** Each question that came, as `GET path`, with its headers. */
  readonly asked: { readonly line: string; readonly headers: IncomingMessage["headers"]; readonly body: string }[];
  /** Tokens that it knows; an AppRole's are added. */
  readonly tokens: Set<string>;
  /** Paths that begin so are nobody's to read. */
  readonly closed: Set<string>;
  /** Answers in the place of what it would say, in order; each once. */
  readonly instead: Answer[];
}

export type Answer = (response: ServerResponse, request: IncomingMessage) => void;

export const vaultToken = "hvs.the-token-that-nobody-may-see";
export const roleId = "role-of-the-executor";
export const secretId = "secret-id-that-nobody-may-see";

export const says =
  (status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): Answer =>
  (response) => {
    response.writeHead(status, { "Content-Type": "application/json", ...headers });
    response.end(typeof body === "string" ? body : JSON.stringify(body));
  };

/** @param options `leaseSeconds`: how long a token that is got by the AppRole is good for. */
export async function vaultDouble({ leaseSeconds = 3600 } = {}): Promise<VaultDouble> {
  const entries: VaultDouble["entries"] = new Map();
  const asked: VaultDouble["asked"] = [];
  const tokens = new Set([vaultToken]);
  const closed = new Set<string>();
  const instead: Answer[] = [];

  const answered = (path: string, request: IncomingMessage, body: string): Answer => {
    if (path === "auth/approle/login") {
      const { role_id, secret_id } = JSON.parse(body);
      if (role_id !== roleId || secret_id !== secretId) return says(400, { errors: ["invalid role or secret ID"] });
      const token = `hvs.token-${tokens.size}-of-the-role`;
      tokens.add(token);
      return says(200, { auth: { client_token: token, lease_duration: leaseSeconds } });
    }
    if (!tokens.has(String(request.headers["x-vault-token"]))) return says(403, { errors: ["permission denied"] });
    if (path === "auth/token/lookup-self") return says(200, { data: {} });
    if ([...closed].some((each) => path.startsWith(each))) return says(403, { errors: ["permission denied"] });
    if (!path.startsWith("secret/data/")) return says(404, { errors: [`no handler for route "${path}"`] });
    const data = entries.get(path);
    return data === undefined ? says(404, { errors: [] }) : says(200, { data: { data, metadata: { version: 1 } } });
  };

  const server = createServer(async (request, response) => {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece);
    const [path, body] = [String(request.url).slice("/v1/".length), Buffer.concat(pieces).toString()];
    asked.push({ line: `${request.method} ${path}`, headers: request.headers, body });
    const answer = instead.shift() ?? answered(path, request, body);
    answer(response, request);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  return {
    ...{ url, entries, asked, tokens, closed, instead },
    address: {
      ...{ url, namespace: null, caPath: null, mount: "secret", prefix: "tool-executor" },
      login: { kind: "token", token: vaultToken },
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
