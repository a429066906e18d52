"""Runs one program as `python3 PROGRAM` would, and keeps the value of its last expression for capture.py.

`started_at` is there already: run.py puts it here.
"""
import os
import sys

# Beyond it the tree of a program costs too much memory: it runs, and has no value.
MAX_SOURCE_BYTES = 128 * 1024
ONLY_TREE = 0x400
FUTURE_FLAGS = 0x1FE0000


def watch(scope):
    """Makes `scope`, the names of `__main__`, what a program finds there, and `run` beside them, to be taken out and called."""
    timeout_seconds, memory_mb, path = sys.argv[1:4]
    folder = scope["__file__"].removesuffix("run.py")
    del sys.orig_argv[1:4]
    del sys.argv[:3]
    try:
        with open(path, "rb") as file:
            body, last = parts(file.read(), path)
    except Exception:
        # Whatever is wrong with it, Python says it best.
        os.execv(sys.executable, [sys.orig_argv[0], *sys.argv])
    for name in ("time", "steps", "file"):
        del scope[name]
    scope["__file__"] = path
    scope["__loader__"] = type(scope["__loader__"])("__main__", path)
    program = Program(folder, body, last, scope, (started_at + float(timeout_seconds), int(memory_mb)))
    scope["run"] = program.run
    return program


def parts(source, path):
    """The code up to the last statement and, when that is an expression, the code of its value; otherwise the whole and None."""
    if len(source) > MAX_SOURCE_BYTES:
        return compile(source, path, "exec", dont_inherit=True), None
    tree = compile(source, path, "exec", ONLY_TREE, dont_inherit=True)
    last = tree.body[-1] if tree.body else None
    if type(last).__name__ != "Expr":
        return compile(tree, path, "exec", dont_inherit=True), None
    # A text that is the whole program is its docstring too.
    if len(tree.body) > 1 or type(last.value).__name__ != "Constant":
        tree.body.pop()
    body = compile(tree, path, "exec", dont_inherit=True)
    # Made by the compiler too, so that no module comes in that the program did not ask for.
    value = compile("0", path, "eval", ONLY_TREE)
    value.body = last.value
    return body, compile(value, path, "eval", body.co_flags & FUTURE_FLAGS, dont_inherit=True)


class Program:
    def __init__(self, folder, body, last, scope, limits):
        self.folder = folder
        self.body = body
        self.last = last
        self.scope = scope
        self.limits = limits
        self.pid = os.getpid()
        self.value = None

    def run(self):
        exec(self.body, self.scope)
        if self.last is not None:
            self.value = eval(self.last, self.scope)

    def __enter__(self):
        return self

    def __exit__(self, _kind, error, _trace):
        value, self.value = self.value, None
        if error is not None:
            trace = error.__traceback__
            while trace is not None and trace.tb_frame.f_code.co_filename.startswith(self.folder):
                trace = trace.tb_next
            error.__traceback__ = trace
        succeeded = error is None or (isinstance(error, SystemExit) and error.code in (None, 0))
        # A fork of the program comes by here too.
        if succeeded and os.getpid() == self.pid and (value is not None or "matplotlib.pyplot" in sys.modules):
            try:
                capture(self.folder + "capture.py", value, *self.limits)
            except Exception:
                # What we could not show is not the program's fault.
                pass
        return False


def capture(path, value, deadline, memory_mb):
    names = {"__name__": "toolx"}
    with open(path, "rb") as file:
        exec(compile(file.read(), path, "exec"), names)
    names["capture"](value, deadline, memory_mb)
