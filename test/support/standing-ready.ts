import type { Limits } from "../../src/model/limits.ts";
import type { Sandboxes } from "../../src/ports/sandbox.ts";

/**
 * The same sandboxes as a pool gives them: each was made with the installation's limits where those can be changed, stood ready, and
 * then got its task's. Without the pool's own times, so that no task meets one that was made for it.
 */
export function standingReady(inner: Sandboxes, byDefault: Limits): Sandboxes {
  return {
    ...inner,
    async create(spec, signal) {
      const fixed = inner.standby(spec.runtime).fixedLimits.map((name) => [name, spec.limits[name]]);
      const limits: Limits = { ...byDefault, ...Object.fromEntries(fixed) };
      const sandbox = await inner.create({ ...spec, limits, purpose: "pool" }, signal);
      try {
        if (!(await sandbox.check(signal))) throw new Error("it does not stand ready");
        await sandbox.refit(spec.limits, signal);
      } catch (error) {
        await sandbox[Symbol.asyncDispose]();
        throw error;
      }
      return { ...sandbox, warm: true };
    },
  };
}
