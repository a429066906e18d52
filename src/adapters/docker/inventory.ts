import { setTimeout as sleep } from "node:timers/promises";
import type Dockerode from "dockerode";
import type { OwnedObject, SandboxInventory } from "../../ports/sandbox-inventory.ts";
import { engineCall, statusOf } from "./engine-call.ts";
import { inspectImage } from "./image-engine.ts";
import { ownerLabel, readCreatedAt, readOwner } from "./labels.ts";

/** What of ours one engine holds. Safe beside any number of others that remove the same things. */
export function dockerInventory(docker: Dockerode): SandboxInventory {
  return {
    async list(signal) {
      const found = await Promise.all([
        listContainers(docker, signal),
        listNetworks(docker, signal),
        listVolumes(docker, signal),
      ]);
      return found.flat();
    },
    async remove(object, signal) {
      for (const delayMs of retryDelaysMs) {
        if (await removed(docker, object, signal)) return;
        await sleep(delayMs, undefined, { signal });
      }
      await engineCall(`remove ${object.kind} ${object.id}`, removeMs, (it) => removal(docker, object, it), signal);
    },
  };
}

const listMs = 10_000;
const removeMs = 10_000;
// Three tries in all. An engine that is taking a container down answers "in progress" to a second removal.
const retryDelaysMs: readonly number[] = [200, 1000];

async function removed(docker: Dockerode, object: OwnedObject, signal: AbortSignal): Promise<boolean> {
  try {
    await engineCall(`remove ${object.kind} ${object.id}`, removeMs, (it) => removal(docker, object, it), signal);
    return true;
  } catch {
    signal.throwIfAborted();
    return false;
  }
}

async function removal(docker: Dockerode, { kind, id }: OwnedObject, abortSignal: AbortSignal): Promise<void> {
  try {
    switch (kind) {
      case "container":
        await docker.getContainer(id).remove({ force: true, v: true, ...unlisted(abortSignal) });
        return;
      case "network":
        await docker.getNetwork(id).remove(unlisted(abortSignal));
        return;
      case "volume":
        await docker.getVolume(id).remove(unlisted(abortSignal));
        return;
    }
  } catch (error) {
    if (statusOf(error) !== 404) throw error;
  }
}

// The client takes the signal on every call; its types leave it out on these.
const unlisted = (abortSignal: AbortSignal): { abortSignal: AbortSignal } => ({ abortSignal });

const ours = { label: [ownerLabel] };

async function listContainers(docker: Dockerode, signal: AbortSignal): Promise<readonly OwnedObject[]> {
  const listed = await engineCall(
    "list containers",
    listMs,
    (abortSignal) => docker.listContainers({ all: true, filters: ours, abortSignal }),
    signal,
  );
  const claims = new Map<string, Promise<string | undefined>>();
  return Promise.all(
    listed.map(async ({ Id, ImageID, Labels, Created }): Promise<OwnedObject> => {
      const claim = claims.get(ImageID) ?? ownerClaimedBy(docker, ImageID, signal);
      claims.set(ImageID, claim);
      const inherited = (await claim) === Labels[ownerLabel];
      return {
        kind: "container",
        id: Id,
        owner: inherited ? null : readOwner(Labels),
        createdAt: readCreatedAt(Labels) ?? Created * 1000,
      };
    }),
  );
}

// Anyone may bake our label into an image, and whoever runs it by hand must not lose the container to us. On what we
// make ourselves the label is always our own.
async function ownerClaimedBy(docker: Dockerode, imageId: string, signal: AbortSignal): Promise<string | undefined> {
  // An image can go while its container stands; then it claims nothing any more.
  const image = await inspectImage(docker, imageId, signal);
  return image?.Config?.Labels?.[ownerLabel];
}

async function listNetworks(docker: Dockerode, signal: AbortSignal): Promise<readonly OwnedObject[]> {
  const listed = await engineCall(
    "list networks",
    listMs,
    (abortSignal) => docker.listNetworks({ filters: ours, abortSignal }),
    signal,
  );
  return listed.map(({ Id, Labels, Created }) => ({
    kind: "network",
    id: Id,
    owner: readOwner(Labels ?? {}),
    createdAt: readCreatedAt(Labels ?? {}) ?? Date.parse(Created),
  }));
}

async function listVolumes(docker: Dockerode, signal: AbortSignal): Promise<readonly OwnedObject[]> {
  const { Volumes } = await engineCall(
    "list volumes",
    listMs,
    (abortSignal) => docker.listVolumes({ filters: ours, abortSignal }),
    signal,
  );
  return (Volumes ?? []).map((volume) => ({
    kind: "volume",
    id: volume.Name,
    owner: readOwner(volume.Labels ?? {}),
    createdAt: readCreatedAt(volume.Labels ?? {}) ?? ("CreatedAt" in volume ? Date.parse(String(volume.CreatedAt)) : 0),
  }));
}
