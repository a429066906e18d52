import type { IncomingMessage } from "node:http";
import type { TaskKey } from "../../model/task.ts";
import type { ApiKeys } from "../../ports/api-keys.ts";
import { apiKeyParts, opens } from "../../schema/api-key.ts";
import { HttpProblem } from "./problem.ts";

/**
 * Who asks. `operator`: over the local socket, which only this user can open; may name any tenant. Everybody else is one tenant.
 */
export type Caller = { readonly kind: "operator" } | { readonly kind: "tenant"; readonly tenantId: string };

/** The tenant of whoever names none. */
const defaultTenant = "default";

/**
 * Finds out by the key in `Authorization`. Where no key was ever made, the address is on the loopback: whoever is on this machine is
 * then the tenant `default`.
 * @throws HttpProblem unauthorized, for no key, a wrong, revoked or expired one alike.
 */
export function callerOf({ headers }: IncomingMessage, keys: ApiKeys, now: number): Caller {
  const { authorization } = headers;
  if (authorization === undefined) {
    if (keys.list().length === 0) return { kind: "tenant", tenantId: defaultTenant };
    throw unauthorized("an API key is needed");
  }
  const parts = apiKeyParts(/^Bearer +(\S+)$/i.exec(authorization)?.[1] ?? "");
  const record = parts === null ? null : keys.find(parts.id);
  if (!opens(record, parts?.secret ?? "", now) || record === null) throw unauthorized("the API key is not valid");
  return { kind: "tenant", tenantId: record.tenantId };
}

const unauthorized = (message: string): HttpProblem =>
  new HttpProblem("unauthorized", message, {
    hint: "send Authorization: Bearer KEY, with a key that toolx keys create printed",
    headers: { "www-authenticate": "Bearer" },
  });

const idPattern = /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/;

/** The tenant that a request is about. @throws HttpProblem forbidden, for another tenant's name. */
export function tenantOf(caller: Caller, named: string | undefined): string {
  if (named !== undefined && !idPattern.test(named))
    throw new HttpProblem("bad_request", "tenant_id must be 1 to 63 letters, digits, _ and -, a letter or digit first");
  if (caller.kind === "operator") return named ?? defaultTenant;
  if (named === undefined || named === caller.tenantId) return caller.tenantId;
  throw new HttpProblem("forbidden", "tenant_id is another tenant's", {
    hint: "the tenant is the API key's: leave it out",
  });
}

/** The task that a path names; a name that no task can have is one that is not there. @throws HttpProblem not_found | forbidden */
export function keyOf(caller: Caller, taskId: string, named: string | undefined): TaskKey {
  const tenantId = tenantOf(caller, named);
  if (!idPattern.test(taskId)) throw noSuchTask();
  return { tenantId, taskId };
}

/** The same for a task of another tenant and for one that nobody has. */
export const noSuchTask = (): HttpProblem => new HttpProblem("not_found", "there is no such task");
