# Starts the user's program: python3 run.py TIMEOUT_SECONDS MEMORY_MB PROGRAM ARGUMENT...
# It runs in this module's own names, because this module is __main__; so nothing of ours may be left among them.
import time

steps = {"__name__": "toolx", "started_at": time.monotonic()}
with open(__file__.removesuffix("run.py") + "program.py", "rb") as file:
    exec(compile(file.read(), file.name, "exec"), steps)

# A `with` that has no name: an error leaves this frame as it came, without an entry of ours in its traceback.
with steps["watch"](globals()):
    globals().pop("run")()
