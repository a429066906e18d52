import { isIP } from "node:net";
import { type AddressRange, addressRange, isMetadataAddress, isPublicAddress } from "./address.ts";

/** A place that callbacks may go to, as the operator names it. */
export interface CallbackHost {
  readonly scheme: "https:" | "http:";
  /** As a URL has it: lower case, IPv6 in brackets. */
  readonly host: string;
  readonly port: number;
  /** Addresses that the name must have; null: any of the internet's. */
  readonly range: AddressRange | null;
}

/**
 * `[https://|http://]HOST[:PORT][=ADDRESS/LENGTH]`, several with commas between. Without a scheme it is https; the port is the scheme's.
 * Null for what is no such list.
 */
export function parseCallbackHosts(text: string): readonly CallbackHost[] | null {
  if (text.trim() === "") return [];
  const hosts = text.split(",").map((each) => parseHost(each.trim()));
  return hosts.every((host) => host !== null) ? hosts : null;
}

function parseHost(text: string): CallbackHost | null {
  const [place = "", range, ...rest] = text.split("=");
  const url = URL.parse(/^https?:\/\//.test(place) ? place : `https://${place}`);
  if (url === null || rest.length > 0 || !isPlainPlace(url) || place.endsWith("/")) return null;
  const ranged = range === undefined ? null : addressRange(range);
  if (range !== undefined && ranged === null) return null;
  const { scheme, host, port } = placeOf(url);
  // An address of a private network is as clear as a name with a range.
  const own = isIP(bare(host)) === 0 ? null : addressRange(bare(host));
  return { scheme, host, port, range: ranged ?? own };
}

/** How a host is named in messages. */
export const callbackHostText = ({ scheme, host, port }: CallbackHost): string => `${scheme}//${host}:${port}`;

export type CallbackVerdict =
  | { readonly kind: "allowed"; readonly url: URL; readonly host: CallbackHost }
  /** `what` names the place, never a path or a password of it. */
  | { readonly kind: "refused"; readonly what: string };

/** Whether a URL leads to one of the hosts. What its name resolves to is judged when it is called ({@link mayDial}). */
export function judgeCallbackUrl(text: string, hosts: readonly CallbackHost[]): CallbackVerdict {
  const url = URL.parse(text);
  if (url === null || (url.protocol !== "https:" && url.protocol !== "http:"))
    return { kind: "refused", what: "callback_url is no URL of http or https" };
  if (url.username !== "" || url.password !== "" || url.hash !== "")
    return { kind: "refused", what: "callback_url has a user, a password or a fragment" };
  const place = placeOf(url);
  const host = hosts.find(
    (each) => each.scheme === place.scheme && each.host === place.host && each.port === place.port,
  );
  const named = callbackHostText({ ...place, range: null });
  return host === undefined
    ? { kind: "refused", what: `callback_url leads to ${named}, where no callbacks may go` }
    : { kind: "allowed", url, host };
}

/** Whether an address that the host's name resolves to may be dialled. */
export function mayDial({ range }: CallbackHost, address: string): boolean {
  if (isMetadataAddress(address)) return false;
  return range === null ? isPublicAddress(address) : range.has(address);
}

const bare = (host: string): string => host.replace(/^\[|\]$/g, "");

function placeOf({ protocol, hostname, port }: URL): Omit<CallbackHost, "range"> {
  const scheme = protocol === "http:" ? "http:" : "https:";
  return { scheme, host: hostname, port: port === "" ? (scheme === "http:" ? 80 : 443) : Number(port) };
}

const isPlainPlace = ({ pathname, search, hash, username, password, hostname }: URL): boolean =>
  pathname === "/" && search === "" && hash === "" && username === "" && password === "" && hostname !== "";
