"""Serve one upload with the thumbq that is installed for this Python, from a new directory, and stop it in order.

Needs nothing but thumbq and what it depends on. The caller bounds its time.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from PIL import Image

BOUNDARY = "first-upload"


def main() -> None:
    """Upload a picture, wait for its job, look at the thumbnail, and end the service."""
    with tempfile.TemporaryDirectory() as directory:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "THUMBQ_"))}
        command = [str(Path(sys.executable).with_name("thumbq")), "serve", "--local", f"{directory}/data"]
        # Its log goes where this program's errors go; the first line of its output is its address.
        environment["THUMBQ_PORT"] = "0"
        service = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        with service:
            try:
                assert service.stdout is not None
                _upload(service.stdout.readline().removeprefix("listening on ").strip())
            finally:
                service.send_signal(signal.SIGTERM)
        if service.returncode:
            sys.exit(f"thumbq serve ended with {service.returncode}")


def _upload(address: str) -> None:
    picture = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").resize((320, 240)).save(picture, "PNG")
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
    body = head.encode() + picture.getvalue() + f"\r\n--{BOUNDARY}--\r\n".encode()
    form = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    [job] = json.loads(_answer(urllib.request.Request(f"{address}/upload", body, form)))["data"]["jobs"]
    url = f"{address}/jobs/{job['id']}"
    while (state := json.loads(_answer(urllib.request.Request(url)))["data"])["status"] == "queued":
        time.sleep(0.1)
    if state["status"] != "done":
        sys.exit(f"the job is not done: {state}")
    with Image.open(io.BytesIO(_answer(urllib.request.Request(f"{url}/thumbnail")))) as thumbnail:
        thumbnail.load()
        print("served", thumbnail.format, *thumbnail.size)


def _answer(request: urllib.request.Request) -> bytes:
    with urllib.request.urlopen(request) as answer:
        content: bytes = answer.read()
        return content


if __name__ == "__main__":
    main()
