cd /workspace
[ "$(python -c 'import sys; print(sys.version_info >= (3, 11))')" = True ] || fail "python is older than 3.11"
[ "$(command -v python3)" = /usr/bin/python3 ] || fail "python3 is not Debian's"
python -m pip check || fail "requirements.txt does not name all that its packages need"

python - <<'PYTHON'
import numpy, pandas, requests
import matplotlib
import matplotlib.pyplot as plot

frame = pandas.DataFrame({"x": numpy.arange(10), "y": numpy.arange(10) ** 2})
assert int(frame.y.sum()) == 285
assert matplotlib.get_backend().lower() == "agg"
frame.plot(x="x", y="y", title="squares")
plot.savefig("/output/plot.png")
with open("/output/plot.png", "rb") as png:
    assert png.read(8) == b"\x89PNG\r\n\x1a\n"

import os
compiled = [os.path.exists(module.__cached__) for module in (numpy, pandas, requests, matplotlib)]
assert all(compiled), "not compiled to bytecode"
PYTHON

# A task that is given a wheel can install it for itself.
python - <<'PYTHON'
import zipfile
with zipfile.ZipFile("probe-1-py3-none-any.whl", "w") as wheel:
    wheel.writestr("probe.py", "answer = 42\n")
    wheel.writestr("probe-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: probe\nVersion: 1\n")
    wheel.writestr("probe-1.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: smoke\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr("probe-1.dist-info/RECORD", "")
PYTHON
python -m pip install --quiet --no-index ./probe-1-py3-none-any.whl
[ "$(cd / && python -c 'import probe; print(probe.answer)')" = 42 ] || fail "pip install"
