/** Where a Redis is, and who we are there. Holds the password: never printed as a whole. */
export interface RedisAddress {
  readonly host: string;
  readonly port: number;
  /** The numbered database of the server. */
  readonly database: number;
  /** Null: the default user. */
  readonly user: string | null;
  readonly password: string | null;
  readonly tls: boolean;
}

/** `null` for anything but `redis(s)://[[user]:password@]host[:port][/number]`. */
export function parseRedisUrl(text: string): RedisAddress | null {
  const url = URL.parse(text);
  if (url === null || !["redis:", "rediss:"].includes(url.protocol)) return null;
  if (url.search !== "" || url.hash !== "" || url.hostname === "") return null;
  const path = /^\/?(\d{0,5})$/.exec(url.pathname);
  if (path === null) return null;
  try {
    return {
      host: url.hostname.replace(/^\[(.*)\]$/, "$1"),
      port: url.port === "" ? 6379 : Number(url.port),
      database: Number(path[1] || "0"),
      user: decodeURIComponent(url.username) || null,
      password: decodeURIComponent(url.password) || null,
      tls: url.protocol === "rediss:",
    };
  } catch {
    return null;
  }
}

/** The address for messages: without user and password. */
export const redisText = ({ host, port, database }: RedisAddress): string =>
  `${host.includes(":") ? `[${host}]` : host}:${port}/${database}`;

/** The same address as it may be shown: everything but the password. */
export function shownRedisUrl(text: string): string {
  const url = URL.parse(text);
  if (url === null) return "***";
  if (url.password !== "") url.password = "***";
  return url.href;
}
