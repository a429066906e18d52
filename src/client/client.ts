import createClient, { type Client } from "openapi-fetch";
import type { paths } from "./api.ts";

/** Where a server is. Without a key: what the server takes for the tenant `default`. */
export interface ServerAddress {
  readonly url: string;
  readonly apiKey?: string;
}

/**
 * The face of the package for programs that call a server (`tool-executor/client`): every route, with the types of its description.
 * `await client.POST("/v1/tasks", { params: { query: { wait: "30s" } }, body })` answers `{ data, error, response }` and throws only
 * where nobody answers.
 */
export function toolExecutorClient({ url, apiKey }: ServerAddress): Client<paths> {
  return createClient<paths>({
    baseUrl: url,
    ...(apiKey !== undefined && { headers: { authorization: `Bearer ${apiKey}` } }),
  });
}
