import { createHash } from "node:crypto";

/**
 * Six small letters and digits that stand before each of a tenant's words in an index that tenants share, so that looking for a word passes by
 * what others have. Two tenants may have the same mark: it is no fence.
 */
export const tenantMark = (tenantId: string): string => createHash("sha256").update(tenantId).digest("hex").slice(0, 6);
