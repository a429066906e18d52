// A program: Python's own tarfile with its `data` filter, in the Python that comes as WebAssembly, because the one of Debian 12 is too
// old to have the filter. Argument: an archive. Prints what the filter lets through, and how many files extracting it made.
import { readFileSync } from "node:fs";
import { loadPyodide } from "pyodide";

const python = await loadPyodide();
python.FS.writeFile("/archive.tar", readFileSync(process.argv[2] ?? ""));
const told: unknown = await python
  .runPythonAsync(`
import base64, hashlib, json, os, tarfile

def told(archive, member):
    kept = tarfile.data_filter(member, "/out")
    content = archive.extractfile(member).read() if member.isreg() else b""
    return {
        "name": base64.b64encode(os.fsencode(kept.name)).decode(),
        "type": "file" if kept.isreg() else "directory" if kept.isdir() else "other",
        "mode": (kept.mode or 0) & 0o7777,
        "sha256": hashlib.sha256(content).hexdigest(),
    }

with tarfile.open("/archive.tar") as archive:
    entries = [told(archive, member) for member in archive]
    try:
        archive.extractall("/out", filter="data")
    except (OSError, UnicodeError) as error:
        entries.append({"name": "", "type": str(error), "mode": 0, "sha256": ""})
files = sum(len(names) for _, _, names in os.walk("/out"))
json.dumps({"entries": entries, "files": files})
`)
  .catch((error: unknown) => {
    // By itself Node shows the line it was thrown at, which is a megabyte long.
    process.stderr.write(String(error).slice(-2000));
    process.exit(1);
  });
process.stdout.write(String(told));
