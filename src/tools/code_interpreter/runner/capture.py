"""Leaves what a program's last expression and its open figures are in /output, and an index of it for the orchestrator.

The program's own code (a `__repr__`, a subclass, a figure's artists) runs only in a fork with nowhere to print to, which is
ended when it takes too long: what the program did by itself stays what it was.
"""
import math
import os
import sys
import time

OUTPUT = "/output"
INDEX = ".toolx.json"

MAX_SECONDS = 10
# Of the time that the program's limit leaves, this share at most, and all but this. The rest is for the program's end, and for what
# went by before anybody here looked at a clock: the interpreter's own start takes its time where processors or disks are busy.
SHARE_OF_TIME = 0.5
SPARE_SECONDS = 0.5
# What a fork may need beside what it shares with the program.
SPARE_MEMORY_MB = 48

MAX_VALUE_CHARACTERS = 65_536
MAX_DEPTH = 32
MAX_TEXT_CHARACTERS = 4_096
MAX_INTEGER = 2**53 - 1
MAX_ROWS = 200
MAX_COLUMNS = 50
MAX_CELL_CHARACTERS = 200
MAX_FIGURES = 16
MAX_PIXELS = 4_000_000
# A task with more files than this has its own way to show things, and caps that one file more could go over.
MAX_ENTRIES = 2_000


class NotPlain(Exception):
    """The value is nothing that JSON holds, or too much of it."""


def capture(value, deadline, memory_mb):
    """`deadline`: of time.monotonic(). What cannot be shown, in the time and memory there are, is left out."""
    plot = sys.modules.get("matplotlib.pyplot")
    if plot is None or not plot.get_fignums():
        if value is None:
            return
        try:
            return write_index(Room(), Json(encode(value, exact=True)), [])
        except NotPlain:
            pass
    left = deadline - time.monotonic()
    seconds = min(MAX_SECONDS, left * SHARE_OF_TIME, left - SPARE_SECONDS)
    if seconds > 0 and memory_mb_of(b"RssAnon:") + SPARE_MEMORY_MB <= memory_mb:
        in_fork(lambda: show(value), seconds)


def show(value):
    room = Room()
    figures = figures_of(value)
    # As many files of matplotlib's as there are figures: the program has saved them as it wants them.
    results = save_figures(room, figures) if room.drawn_files < len(figures) else []
    shown = None
    try:
        if is_table(value):
            results = save_table(room, value) + results
        elif not is_drawing(value):
            shown = value_json(value)
    except Exception:
        # A value that cannot be told is none; the figures are whole.
        pass
    if shown is not None or results:
        write_index(room, shown, results)


# The value


class Json(str):
    """Text that is JSON already."""


def value_json(value):
    """None for a value that is nothing."""
    if value is None:
        return None
    try:
        return Json(encode(unboxed(value), exact=False))
    except NotPlain:
        return Json(encode(text_of(value), exact=False))


def unboxed(value):
    """What numpy wraps, as Python has it."""
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic):
        return value.item()
    if numpy is not None and isinstance(value, numpy.ndarray) and value.size <= 10_000:
        return value.tolist()
    return value


def text_of(value):
    import reprlib

    short = reprlib.Repr()
    short.maxlevel = 4
    for kind in ("tuple", "list", "array", "dict", "set", "frozenset", "deque"):
        setattr(short, "max" + kind, 100)
    for kind in ("string", "long", "other"):
        setattr(short, "max" + kind, MAX_TEXT_CHARACTERS)
    text = value if isinstance(value, str) else short.repr(value)
    text = text.encode("utf-8", "backslashreplace").decode()
    more = len(text) - MAX_TEXT_CHARACTERS
    return text if more <= 0 else f"{text[:MAX_TEXT_CHARACTERS]}… ({more} more characters)"


def encode(value, exact):
    """JSON of plain values. `exact`: of no subclass of theirs, so that no code of the program runs."""
    pieces = []
    budget = [MAX_VALUE_CHARACTERS]
    encode_into(pieces, budget, value, exact, 0)
    return "".join(pieces)


def encode_into(pieces, budget, value, exact, depth):
    from _json import encode_basestring_ascii

    def add(piece):
        budget[0] -= len(piece)
        if budget[0] < 0:
            raise NotPlain
        pieces.append(piece)

    def is_a(*kinds):
        return type(value) in kinds if exact else isinstance(value, kinds)

    if not exact:
        value = unboxed(value)
    if value is None:
        add("null")
    elif is_a(bool):
        add("true" if value else "false")
    elif is_a(int):
        if not -MAX_INTEGER <= value <= MAX_INTEGER:
            raise NotPlain
        add(int.__repr__(value))
    elif is_a(float):
        if not math.isfinite(value):
            raise NotPlain
        add(float.__repr__(value))
    elif is_a(str):
        if len(value) > budget[0]:
            raise NotPlain
        try:
            value.encode()
        except UnicodeEncodeError:
            raise NotPlain
        add(encode_basestring_ascii(value))
    elif depth >= MAX_DEPTH:
        raise NotPlain
    elif is_a(list, tuple):
        add("[")
        for at, item in enumerate(value):
            if at:
                add(",")
            encode_into(pieces, budget, item, exact, depth + 1)
        add("]")
    elif is_a(dict):
        add("{")
        for at, (key, item) in enumerate(value.items()):
            if type(key) is int:
                key = str(key)
            if type(key) is not str or key == "__proto__":
                raise NotPlain
            if at:
                add(",")
            encode_into(pieces, budget, key, exact, depth + 1)
            add(":")
            encode_into(pieces, budget, item, exact, depth + 1)
        add("}")
    else:
        raise NotPlain


# Tables


def is_table(value):
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, (pandas.DataFrame, pandas.Series))


def save_table(room, value):
    import pandas

    frame = value.to_frame() if isinstance(value, pandas.Series) else value
    part = frame.iloc[:MAX_ROWS, :MAX_COLUMNS]
    index = part.index
    plain = isinstance(index, pandas.RangeIndex) and index.start == 0 and index.step == 1 and index.name is None
    index_names = [] if plain else ["" if name is None else name for name in index.names]
    columns = [short_text(name) for name in [*index_names, *part.columns]]
    rows = []
    for at in range(len(part)):
        key = index[at]
        keys = [] if plain else list(key) if index.nlevels > 1 else [key]
        # By column: a row of its own would turn the integers beside a fraction into fractions.
        rows.append([cell(each) for each in [*keys, *(part.iat[at, column] for column in range(part.shape[1]))]])
    counts = {"row_count": len(frame), "column_count": len(index_names) + frame.shape[1]}
    table = {"columns": columns, "rows": rows, **counts}
    return [
        saved(room, "table.md", "text/markdown", markdown(table).encode()),
        saved(room, "table.json", "application/json", to_json(table).encode()),
    ]


def cell(value):
    value = unboxed(value)
    if value is None or isinstance(value, (bool, str)) or (isinstance(value, float) and math.isfinite(value)):
        return short_text(value) if isinstance(value, str) else value
    if isinstance(value, int) and abs(value) <= MAX_INTEGER:
        return value
    import pandas

    missing = pandas.isna(value)
    return None if missing is True else short_text(value)


def short_text(value):
    text = str(value).encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= MAX_CELL_CHARACTERS else text[:MAX_CELL_CHARACTERS] + "…"


def markdown(table):
    def line(cells):
        return "| " + " | ".join(cells) + " |"

    def shown(value):
        text = "" if value is None else str(value)
        for character, safe in (("&", "&amp;"), ("<", "&lt;"), ("\\", "\\\\"), ("|", "\\|")):
            text = text.replace(character, safe)
        return " ".join(text.split())

    lines = [line(map(shown, table["columns"])), line("---" for _ in table["columns"])]
    lines += [line(map(shown, row)) for row in table["rows"]]
    rows, columns = len(table["rows"]), len(table["columns"])
    if rows < table["row_count"] or columns < table["column_count"]:
        lines += ["", f"{rows} of {table['row_count']} rows, {columns} of {table['column_count']} columns"]
    return "\n".join(lines) + "\n"


# Figures


def is_drawing(value):
    """Something that a figure shows: of no use as text."""
    if type(value) in (list, tuple) and value:
        value = value[0]
    elif type(value).__name__ == "ndarray" and value.dtype == object and value.size:
        value = value.flat[0]
    return "matplotlib" in sys.modules and str(getattr(type(value), "__module__", "")).startswith("matplotlib.")


def figures_of(value):
    figures = []
    plot = sys.modules.get("matplotlib.pyplot")
    if plot is not None:
        figures = [plot.figure(number) for number in plot.get_fignums()]
    if is_drawing(value) and hasattr(value, "savefig") and all(value is not each for each in figures):
        figures.append(value)
    return figures[:MAX_FIGURES]


def save_figures(room, figures):
    import io

    results = []
    for number, figure in enumerate(figures, 1):
        try:
            width, height = figure.get_size_inches()
            dpi = min(figure.dpi, math.sqrt(MAX_PIXELS / max(width * height, 1e-9)))
            image = io.BytesIO()
            figure.savefig(image, format="png", dpi=dpi)
            results.append(saved(room, f"figure-{number}.png", "image/png", image.getvalue()))
        except Exception:
            # The others may be whole.
            continue
    return results


# Files


class Room:
    """What is in /output already, and what may come beside it. Raises OverflowError when that is too much."""

    def __init__(self):
        disk = os.statvfs(OUTPUT)
        self.disk_bytes = disk.f_blocks * disk.f_frsize
        self.entries = 0
        self.bytes = 0
        # Files that matplotlib wrote: it puts its name near the beginning of every one.
        self.drawn_files = 0
        self.look(OUTPUT)

    def look(self, folder):
        with os.scandir(folder) as entries:
            for entry in entries:
                self.entries += 1
                if self.entries > MAX_ENTRIES:
                    raise OverflowError
                if entry.is_dir(follow_symlinks=False):
                    self.look(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    self.bytes += entry.stat(follow_symlinks=False).st_size
                    with open(entry.path, "rb") as file:
                        self.drawn_files += b"atplotlib" in file.read(4096)

    def write(self, path, content):
        """Raises FileExistsError. The file is whole, or not there."""
        # More than the disk has is there when files have holes; what is over it would not be kept, and that is told.
        if self.bytes + len(content) > self.disk_bytes:
            raise OverflowError
        path = f"{OUTPUT}/{path}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            left = memoryview(content)
            while left:
                left = left[os.write(descriptor, left) :]
        except BaseException:
            os.unlink(path)
            raise
        finally:
            os.close(descriptor)
        self.bytes += len(content)


def saved(room, name, mime, content):
    """Writes a file that is not there yet, under the first free name, and answers its line of the index."""
    stem, ending = name.rsplit(".", 1)
    for number in range(1, 100):
        path = name if number == 1 else f"{stem}-{number}.{ending}"
        try:
            room.write(path, content)
            return {"mime": mime, "artifact": path}
        except FileExistsError:
            continue
    raise FileExistsError(name)


def write_index(room, value, results):
    """Last, when everything it names is there."""
    try:
        os.unlink(f"{OUTPUT}/{INDEX}")
    except FileNotFoundError:
        pass
    room.write(INDEX, to_json({"value": value, "results": results}).encode())


def to_json(value):
    """For what we made ourselves."""
    if isinstance(value, Json):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{to_json(key)}:{to_json(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(to_json, value)) + "]"
    return encode(value, exact=False)


# The fork


def memory_mb_of(figure):
    """One of this process's figures, as the kernel names it; 0 where it does not."""
    with open("/proc/self/status", "rb") as status:
        for line in status:
            if line.startswith(figure):
                return int(line.split()[1]) / 1024
    return 0


def keep_small():
    """The task's memory is the program's: this process may take little more, and goes first when it runs out."""
    import resource

    held_mb = memory_mb_of(b"VmData:")
    try:
        if held_mb > 0:
            most = int((held_mb + SPARE_MEMORY_MB) * 1024 * 1024)
            resource.setrlimit(resource.RLIMIT_DATA, (most, most))
        with open("/proc/self/oom_score_adj", "w") as score:
            score.write("1000")
    except (OSError, ValueError):
        # Not every kernel has both.
        pass


def in_fork(work, seconds):
    """Does `work` in a process that shares nothing with this one afterwards, and waits for its end or ends it."""
    import _signal
    import select

    done, hold = os.pipe2(os.O_CLOEXEC)
    # The program hears of the ends of its own children only.
    heard = _signal.getsignal(_signal.SIGCHLD)
    if callable(heard):
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    try:
        child = os.fork()
        if child == 0:
            alone(work)
        os.close(hold)
        hold = -1
        # It writes nothing: the end of the file is its own end, and that of whatever it started.
        ends = select.poll()
        ends.register(done, select.POLLIN)
        if not ends.poll(seconds * 1000):
            os.kill(child, _signal.SIGKILL)
        try:
            os.waitpid(child, 0)
        except ChildProcessError:
            pass
    finally:
        if callable(heard):
            _signal.signal(_signal.SIGCHLD, heard)
        os.close(done)
        if hold >= 0:
            os.close(hold)


def alone(work):
    """The fork's whole life."""
    try:
        import _signal
        import gc

        gc.disable()
        for number in (_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP):
            _signal.signal(number, _signal.SIG_DFL)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nowhere, descriptor)
        keep_small()
        work()
    finally:
        os._exit(0)
