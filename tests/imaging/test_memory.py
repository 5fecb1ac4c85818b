from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import io, resource, sys
from pathlib import Path
from PIL import Image
from thumbq.core.preset import Preset
from thumbq.imaging import Limits, Refusal
from thumbq.imaging.render import render

file = io.BytesIO()
Image.linear_gradient("L").resize((1200, 800)).convert("RGB").save(file, "PNG", compress_level=1)
preset = Preset(name="p", fit="none", format="webp", lossless=True)
data_kib = next(int(line.split()[1]) for line in Path("/proc/self/status").open() if line.startswith("VmData"))
for mib in range(3, 100, int(sys.argv[1])):
    limit = (data_kib << 10) + (mib << 20)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.RLIM_INFINITY))
    made = render(file.getvalue(), [preset], Limits())
    print(made.code if isinstance(made, Refusal) else "done")
    if not isinstance(made, Refusal):
        break
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not enforce RLIMIT_DATA")
@pytest.mark.parametrize("step_mib", [3, pytest.param(1, marks=pytest.mark.long)])
def test_wherever_memory_runs_out_nothing_is_said_against_the_image(step_mib: int) -> None:
    """Each render may have a little more than the one before, until one has enough."""
    command = [sys.executable, "-c", SCRIPT, str(step_mib)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    *failed, last = run.stdout.split()
    assert last == "done"
    assert set(failed) == {"out-of-memory"}
