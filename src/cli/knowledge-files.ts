import { readdir, readFile, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { type FileKind, fileEndings, fileKind, maxDocumentBytes, maxLinesFileBytes } from "../knowledge/document.ts";
import { ExecutorError } from "../model/failure.ts";
import { badFlag } from "./quantities.ts";
import { missingFile } from "./run-request.ts";

/** A file to be imported. */
export interface SourceFile {
  readonly place: string;
  /** Below its source, with forward slashes. */
  readonly path: string;
  readonly kind: FileKind;
  /** The folder it comes from. */
  readonly source: string;
}

export interface SourceFiles {
  readonly files: readonly SourceFile[];
  /** Folders that were named, whole. */
  readonly folders: readonly string[];
  /** Regular files of other kinds, and links, which are not followed. */
  readonly passedOver: number;
}

const maxFiles = 20_000;

/**
 * What the words of a command line name: a file by its name, a folder with every document in it. Inside folders, links are not followed, and what
 * begins with a dot is not looked at.
 * @throws ExecutorError validation, for what is not there, is of no known kind, or is too much, and for two files of one path.
 */
export async function sourceFiles(sources: readonly string[], cwd: string): Promise<SourceFiles> {
  const files: SourceFile[] = [];
  const folders: string[] = [];
  let passedOver = 0;
  for (const each of sources) {
    const place = resolve(cwd, each);
    const found = await stat(place).catch((cause: unknown) => {
      throw missingFile("source", place, cause);
    });
    if (found.isDirectory()) {
      folders.push(place);
      passedOver += await addFolder(place, place, "", files);
    } else files.push(oneFile(each, place, found.isFile()));
  }
  refuseTwins(files);
  return { files, folders, passedOver };
}

/** Its bytes; null, and why, for one that is larger than any that is taken. */
export async function readSource({ place, kind }: SourceFile): Promise<Buffer | string> {
  const most = kind === "lines" ? maxLinesFileBytes : maxDocumentBytes;
  try {
    const { size } = await stat(place);
    return size > most ? `is ${size} bytes long, at most ${most}` : await readFile(place);
  } catch (cause) {
    return `cannot be read (${cause instanceof Error && "code" in cause ? String(cause.code) : "unknown"})`;
  }
}

function oneFile(named: string, place: string, isFile: boolean): SourceFile {
  const kind = isFile ? fileKind(place) : null;
  if (kind === null) throw badFlag("source", named, `a folder, or a file that ends in ${fileEndings.join(", ")}`);
  return { place, path: basename(place), kind, source: dirname(place) };
}

/** Answers how many files it passed over. */
async function addFolder(source: string, folder: string, below: string, files: SourceFile[]): Promise<number> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((cause: unknown) => {
    throw missingFile("source", folder, cause);
  });
  let passedOver = 0;
  for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    if (entry.name.startsWith(".")) continue;
    const [place, path] = [join(folder, entry.name), `${below}${entry.name}`];
    const kind = entry.isFile() ? fileKind(entry.name) : null;
    if (entry.isDirectory()) passedOver += await addFolder(source, place, `${path}/`, files);
    else if (kind === null) passedOver += 1;
    else files.push({ place, path, kind, source });
    if (files.length > maxFiles)
      throw new ExecutorError("validation", `${folder} brings the number of files over ${maxFiles}`, {
        hint: "import its folders one after the other",
      });
  }
  return passedOver;
}

function refuseTwins(files: readonly SourceFile[]): void {
  const byPath = new Map<string, string>();
  for (const { path, place } of files) {
    const twin = byPath.get(path);
    if (twin !== undefined && twin !== place) {
      throw new ExecutorError("validation", `${twin} and ${place} would both be the document ${path}`, {
        hint: "import them into collections of their own, or their common folder",
      });
    }
    byPath.set(path, place);
  }
}
