/** A name in `artifacts.tar`, relative to `/output`. */
export interface ManifestName {
  /** As text; a name that is no UTF-8 has its bytes in `path_base64` too. */
  readonly path: string;
  readonly path_base64?: string;
}

/** One file in `artifacts.tar`. */
export interface ManifestEntry extends ManifestName {
  readonly size_bytes: number;
  readonly sha256: string;
  readonly mime: string;
  /** Where the content starts in the tar. */
  readonly offset: number;
}

/** What is in an attempt's `artifacts.tar`. */
export interface Manifest {
  /** In the order of the tar. */
  readonly entries: readonly ManifestEntry[];
  readonly folders: readonly ManifestName[];
}

/** The tar and the manifest under an attempt's prefix. */
export const artifactsKey = (prefix: string): string => `${prefix}/artifacts.tar`;
export const manifestKey = (prefix: string): string => `${prefix}/manifest.json`;
