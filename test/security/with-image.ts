import type { House } from "../../src/app/house.ts";
import { derivedImage } from "../support/derived-image.ts";

const never = new AbortController().signal;

/** The same house while `act` runs, but its image `name` says what `lines` of a Dockerfile say. */
export async function withImage(
  house: House,
  name: string,
  lines: readonly string[],
  act: (house: House) => Promise<void>,
): Promise<void> {
  const { parts, docker } = house;
  const parent = await parts.images.resolve(name, never);
  if (parent === null) throw new Error(`no image ${name}`);
  await using image = await derivedImage(docker, parent.id, lines);
  const images = {
    ...parts.images,
    resolve: async (wanted: string, signal: AbortSignal) =>
      wanted === name ? { ...parent, id: image.id } : await parts.images.resolve(wanted, signal),
  };
  await act({ ...house, parts: { ...parts, images } });
}
