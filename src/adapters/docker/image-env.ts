/**
 * The part of an image's own environment that reaches a task: where its programs and libraries are, how they speak.
 * Everything else is dropped, so that a task's environment is what the request says and nothing that surprises.
 */
export function keptImageEnv(env: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(env).filter(([name]) => kept.has(name) || /^LC_[A-Z]+$/.test(name)));
}

const kept: ReadonlySet<string> = new Set([
  // Where programs and libraries are.
  "PATH",
  "PYTHONPATH",
  "NODE_PATH",
  "JAVA_HOME",
  "CLASSPATH",
  "GOPATH",
  "GOROOT",
  "CARGO_HOME",
  "RUSTUP_HOME",
  "GEM_PATH",
  "VIRTUAL_ENV",
  // Language, time zone.
  "LANG",
  "LANGUAGE",
  "TZ",
  // How an interpreter writes and where it caches; not what it runs before the task's own code.
  "PYTHONDONTWRITEBYTECODE",
  "PYTHONFAULTHANDLER",
  "PYTHONHASHSEED",
  "PYTHONIOENCODING",
  "PYTHONUNBUFFERED",
  "PYTHONUTF8",
  "NODE_ENV",
  "MPLBACKEND",
  "MPLCONFIGDIR",
  "FONTCONFIG_PATH",
  "FONTCONFIG_FILE",
  // Certificates that the image itself brings.
  "SSL_CERT_FILE",
  "SSL_CERT_DIR",
]);
