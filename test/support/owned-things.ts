import type Dockerode from "dockerode";
import { dockerInventory } from "../../src/adapters/docker/inventory.ts";
import { type Owner, ownerText } from "../../src/model/owner.ts";

/** What the engine holds with this owner's label, one line each. */
export async function ownedThings(docker: Dockerode, owner: Owner): Promise<readonly string[]> {
  const found = await dockerInventory(docker).list(new AbortController().signal);
  return found
    .filter((object) => object.owner !== null && ownerText(object.owner) === ownerText(owner))
    .map(({ kind, id }) => `${kind} ${id.slice(0, 12)}`);
}
