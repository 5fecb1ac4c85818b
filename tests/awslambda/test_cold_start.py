"""What a cold start loads: each module that a function never uses is time that every new environment takes."""

from __future__ import annotations

import subprocess
import sys

LOADED = "import sys, thumbq.aws_lambda; print(*sys.modules)"


def test_a_function_loads_no_web_server() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "thumbq.aws_lambda.function" in loaded
    assert not [name for name in loaded if f"{name}.".startswith(("thumbq.web.", "aiohttp.web", "thumbq.service."))]
