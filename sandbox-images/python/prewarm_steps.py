"""Imports modules, waits for a task, and becomes in this process what `python3 PROGRAM ARGUMENT...` would be.

The task comes over a socket from sandbox-init, as it comes to its launcher. Whatever is not a plain program named by its path
is left to a new interpreter in this one's place.
"""
import gc
import os
import sys

CONTROL = 4
INTERNAL = 70


def become(scope):
    """Makes `scope`, the names of `__main__`, what a program finds there, and `run` beside them, to be taken out and called."""
    for name in sys.argv[1:]:
        __import__(name)
    # What is there now is garbage at no time: a look through all of it takes the better part of the interpreter's end.
    gc.collect()
    gc.freeze()
    os.write(CONTROL, b"R")
    task = Task(exactly(int.from_bytes(exactly(4), "big")))
    enter(task)
    code, path = program_of(task)
    # So sandbox-init knows that the task runs.
    os.close(CONTROL)
    if code is None:
        os.execve(sys.executable, task.argv, task.env)
    os.environb.clear()
    os.environb.update(task.env)
    sys.orig_argv = [os.fsdecode(argument) for argument in task.argv]
    sys.argv = sys.orig_argv[1:]
    sys.path[0] = os.path.dirname(os.path.realpath(path))
    untraced = Untraced(os.path.dirname(scope["__file__"]) + "/")
    for name in ("steps", "file"):
        del scope[name]
    scope["__file__"] = path
    scope["__loader__"] = type(scope["__loader__"])("__main__", path)
    scope["run"] = lambda: exec(code, scope)
    return untraced


class Task:
    """What sandbox-init asks for: numbers of 8 bytes, texts after a length of 4, lists after a number."""

    def __init__(self, body):
        self.body = memoryview(body)
        self.argv = self.texts()
        self.env = dict(each.split(b"=", 1) for each in self.texts())
        self.cwd = self.text()
        self.text()  # where to look for the program: this is the one
        self.has_stdin = self.number() == 1

    def number(self):
        return int.from_bytes(self.take(8), "big")

    def text(self):
        return bytes(self.take(int.from_bytes(self.take(4), "big")))

    def texts(self):
        return [self.text() for _ in range(self.number())]

    def take(self, size):
        taken, self.body = self.body[:size], self.body[size:]
        return taken


def exactly(size):
    """Ends the process where sandbox-init is gone, or wants no task of it."""
    pieces = []
    while size > 0:
        piece = os.read(CONTROL, size)
        if not piece:
            os._exit(INTERNAL)
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def enter(task):
    """Standard input and working directory, as the launcher sets them; the limits are in force already."""
    try:
        if not task.has_stdin:
            nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            os.dup2(nothing, 0)
            os.close(nothing)
        os.chdir(task.cwd)
    except OSError as error:
        os.write(CONTROL, f"enter the working directory: {error.strerror}".encode())
        os._exit(INTERNAL)


def program_of(task):
    """Code and path; None and None for what only a new interpreter does right."""
    nothing = None, None
    if len(task.argv) < 2 or task.argv[1][:1] in (b"", b"-") or has_user_site(task):
        return nothing
    path = os.path.join(os.fsdecode(task.cwd), os.fsdecode(task.argv[1]))
    if path.endswith(".pyc") or not os.path.isfile(path):
        return nothing
    try:
        with open(path, "rb") as file:
            source = file.read()
        # The end of an archive, which may have a program in it.
        if b"PK\5\6" in source[-65_557:]:
            return nothing
        return compile(source, path, "exec", dont_inherit=True), path
    except Exception:
        # Whatever is wrong with it, Python says it best.
        return nothing


def has_user_site(task):
    """Packages in the home folder count from an interpreter's start on."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    home = os.fsdecode(task.env.get(b"HOME", b"/"))
    return os.path.isdir(os.path.join(home, ".local/lib", version, "site-packages"))


class Untraced:
    """Takes our own frames out of the trace of an error."""

    def __init__(self, folder):
        self.folder = folder

    def __enter__(self):
        return self

    def __exit__(self, _kind, error, _trace):
        if error is not None:
            trace = error.__traceback__
            while trace is not None and trace.tb_frame.f_code.co_filename.startswith(self.folder):
                trace = trace.tb_next
            error.__traceback__ = trace
        return False
