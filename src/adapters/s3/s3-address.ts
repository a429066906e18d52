/** A bucket of an S3 server, and who we are there. Holds the secret key: never printed as a whole. */
export interface S3Address {
  readonly endpoint: S3Endpoint;
  readonly bucket: string;
  readonly region: string;
  readonly accessKey: string;
  readonly secretKey: string;
}

export interface S3Endpoint {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
}

/** `null` for anything but `http://HOST[:PORT]` or `https://HOST[:PORT]`. */
export function parseS3Endpoint(text: string): S3Endpoint | null {
  const url = URL.parse(text);
  if (url === null || !["http:", "https:"].includes(url.protocol)) return null;
  const rest = [url.username, url.password, url.search, url.hash, url.pathname.replace(/^\/$/, "")].join("");
  if (rest !== "" || url.hostname === "") return null;
  const tls = url.protocol === "https:";
  return { host: url.hostname, port: url.port === "" ? (tls ? 443 : 80) : Number(url.port), tls };
}

/** The place for messages: no key is in it. */
export const s3AddressText = ({ endpoint: { host, port, tls }, bucket }: S3Address): string =>
  `${tls ? "https" : "http"}://${host}:${port}/${bucket}`;
