import { imageLabel, stageLabel } from "./image-names.ts";
import type { ContextFile } from "./image-recipe.ts";

/** The label of a derived image with the ID of what it was derived from. */
export const sourceLabel = "tool-executor.source";

/** What one derived image is. IDs are whole (`sha256:…`); all of it is text that a Dockerfile takes as it is. */
export interface OwnImageRecipe {
  readonly name: string;
  readonly sourceId: string;
  /** What to build on: the source, or the same layers without build triggers. */
  readonly parentId: string;
  /** Our own base image. */
  readonly baseId: string;
  /** The value of the label that the build's stage gets. */
  readonly stage: string;
}

/** What a derived image is built from. */
export function ownImageFiles(recipe: OwnImageRecipe): readonly ContextFile[] {
  const file = (path: string, text: string): ContextFile => ({ path, bytes: Buffer.from(text), executable: false });
  return [file("Dockerfile", dockerfile(recipe)), file("derive.sh", deriveScript)];
}

// SAFETY: no program of the source image is run. Its files are looked at by our own programs in our own image, and what has
// to change comes back as one layer on top of its own. What the image declares is turned down where a sandbox is made.
const dockerfile = ({ name, sourceId, parentId, baseId, stage }: OwnImageRecipe): string => `FROM ${parentId} AS source

FROM ${baseId} AS walls
LABEL ${stageLabel}=${stage}
COPY derive.sh /derive.sh
COPY --from=source / /image/
RUN ["/bin/bash", "/derive.sh"]

FROM source
COPY --from=walls /added/ /
ENTRYPOINT ["/sbin/sandbox-init"]
LABEL ${imageLabel}=${name} ${sourceLabel}=${sourceId}
`;

const deriveScript = `# The files of somebody else's image are in /image; what is to be laid over them goes to /added.
set -euo pipefail
cd /image
mkdir /added
refuse() { echo "refused: $1" >&2; exit 1; }

# A link that means one thing here and another in a running container would put the image's own program in the place of
# sandbox-init.
place=sbin
for _ in 1 2 3 4; do
  [ -L "$place" ] || break
  target=$(readlink "$place")
  case $target in
    /*) place=\${target#/} ;;
    *) place=$(dirname "$place")/$target ;;
  esac
done
place=$(realpath -ms --relative-to=. "$place")
case $place in
  sbin | bin | usr/sbin | usr/bin) ;;
  *) refuse "/sbin leads to /$place, must be /sbin, /bin, /usr/sbin or /usr/bin" ;;
esac
for folder in "$place" etc run run/toolx usr usr/share usr/share/toolx; do
  if [ -L "$folder" ] || { [ -e "$folder" ] && [ ! -d "$folder" ]; }; then
    refuse "/$folder must be a folder, or missing"
  fi
done

mkdir -p "$place" etc
rm -rf "$place/sandbox-init"
cp /sbin/sandbox-init "$place/sandbox-init"
# A passwd that never ends, such as a named pipe, must not hold the build up.
timeout 10 chroot . /sbin/sandbox-init seal || refuse "/etc/passwd and /etc/group cannot be read"
cp -a --parents "$place/sandbox-init" etc/passwd etc/group run/toolx usr/share/toolx /added

# SAFETY: no setuid or setgid file survives; no_new_privileges makes them useless, this makes them absent.
find . -xdev -type f -perm /6000 -print0 >/raised
xargs -0 --no-run-if-empty chmod a-s </raised
xargs -0 --no-run-if-empty cp -a --parents --target-directory=/added </raised

install -d -m 1777 /added/workspace /added/output /added/tmp
chmod --reference=. /added
`;
