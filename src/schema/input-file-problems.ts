import type { FailureDetail } from "../model/failure.ts";
import { quoted } from "../model/quoted.ts";
import { maxDetails } from "./failure-details.ts";

/** Names in `/workspace` that tools keep for themselves begin so. */
export const reservedPrefix = ".toolx";

export const maxPathBytes = 4096;
export const maxSegmentBytes = 255;
export const maxPathLevels = 64;

interface GivenFile {
  readonly path: string;
  readonly content_base64?: string;
  readonly sha256?: string;
}

/** What is wrong with the files of a request, one detail a file: its path, its bytes, or a clash with another. */
export function inputFileProblems(files: readonly GivenFile[]): readonly FailureDetail[] {
  const details: FailureDetail[] = [];
  const paths = new Map<string, number>();
  for (const [index, file] of files.entries()) paths.set(file.path, paths.get(file.path) ?? index);
  const wrong = (path: string, why: string): void => {
    if (details.length < maxDetails) details.push({ path, message: why });
  };
  for (const [index, file] of files.entries()) {
    const at = `/files/${index}`;
    const name = `files[${index}]`;
    const pathWhy = pathProblem(file.path);
    if (pathWhy !== null) {
      wrong(`${at}/path`, `${name}.path is ${quoted(file.path)}, ${pathWhy}`);
      continue;
    }
    const twin = paths.get(file.path) ?? index;
    if (twin !== index) wrong(`${at}/path`, `${name}.path is ${quoted(file.path)}, the same as files[${twin}].path`);
    const parent = parentsOf(file.path).find((folder) => paths.has(folder));
    if (parent !== undefined) {
      wrong(
        `${at}/path`,
        `${name}.path is ${quoted(file.path)}, but ${quoted(parent)} is given as a file, not a folder`,
      );
    }
    const bytesWhy = bytesProblem(file);
    if (bytesWhy !== null) wrong(`${at}/content_base64`, `${name}.content_base64 ${bytesWhy}`);
  }
  return details;
}

/** Null for a path below `/workspace` that any task can have: relative, plain segments, nothing that climbs. */
export function pathProblem(path: string): string | null {
  if (path === "") return "which is empty";
  if (path.startsWith("/")) return "must be relative (it is put under /workspace)";
  if (path.includes("\0")) return "must not hold a NUL character";
  if (path.includes("\\")) return "must not hold a backslash; folders are divided by /";
  if (Buffer.byteLength(path) > maxPathBytes) return `is longer than ${maxPathBytes} bytes`;
  const segments = path.split("/");
  if (segments.length > maxPathLevels) return `has more than ${maxPathLevels} levels`;
  if (segments.some((segment) => segment === "" || segment === "." || segment === "..")) {
    return "must not have an empty, . or .. segment";
  }
  if (segments.some((segment) => Buffer.byteLength(segment) > maxSegmentBytes)) {
    return `has a segment longer than ${maxSegmentBytes} bytes`;
  }
  if (segments[0]?.startsWith(reservedPrefix)) return `must not begin with ${reservedPrefix}, which is kept for tools`;
  return null;
}

function* parents(path: string): Generator<string> {
  for (let slash = path.indexOf("/"); slash !== -1; slash = path.indexOf("/", slash + 1)) yield path.slice(0, slash);
}

const parentsOf = (path: string): readonly string[] => [...parents(path)];

function bytesProblem({ content_base64: content, sha256 }: GivenFile): string | null {
  if (content === undefined) return sha256 === undefined ? "is missing" : null;
  if (sha256 !== undefined) return "must not be given beside sha256";
  // Buffer skips what is no base64; writing it back shows whether it skipped anything.
  return Buffer.from(content, "base64").toString("base64") === content
    ? null
    : "is no base64 (RFC 4648, padded, one line)";
}
