import type { House } from "../../src/app/house.ts";
import { derivedImage } from "../support/derived-image.ts";
import type { Ground } from "./ground.ts";

const never = new AbortController().signal;

/** The same house, whose `shell` image says what `lines` say. */
export async function withImage(
  ground: Ground,
  lines: readonly string[],
  act: (house: House) => Promise<void>,
): Promise<void> {
  const { parts, docker } = ground.house;
  const shellImage = await parts.images.resolve("shell", never);
  if (shellImage === null) throw new Error("no shell image");
  await using image = await derivedImage(docker, shellImage.id, lines);
  const images = { ...parts.images, resolve: async () => ({ ...shellImage, id: image.id }) };
  await act({ ...ground.house, parts: { ...parts, images } });
}
