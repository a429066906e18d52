# Started before its task is known: python3 prewarm.py MODULE...
# The task's program runs in this module's own names, because this module is __main__; so nothing of ours may be left among them.
steps = {"__name__": "toolx"}
with open(__file__.removesuffix(".py") + "_steps.py", "rb") as file:
    exec(compile(file.read(), file.name, "exec"), steps)

# A `with` that has no name: an error leaves this frame as it came, without an entry of ours in its traceback.
with steps["become"](globals()):
    globals().pop("run")()
