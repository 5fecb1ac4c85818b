#!/usr/bin/env python3
"""The container's health check: asks the service on this machine for a path, and exits with 0 if it answers 200.

``healthcheck.py PATH [PORT]``; the port is otherwise ``THUMBQ_PORT``, or 8080 when that is no number (as the service
has it: beside a Service named thumbq, Kubernetes sets it to an address). What the service answers is printed, for the
engine's health log. Ends with 1 on any other answer or none. No proxy is used, whatever the environment says.
"""

import http.client
import os
import sys

TIMEOUT_S = 4
DEFAULT_PORT = 8080


def main(path: str, port: str = os.environ.get("THUMBQ_PORT", "")) -> int:
    """Return the exit code."""
    number = int(port) if port.isdecimal() else DEFAULT_PORT
    connection = http.client.HTTPConnection("127.0.0.1", number, timeout=TIMEOUT_S)
    address = f"http://127.0.0.1:{number}{path}"
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        sys.stdout.write(f"{address}: {error!r}\n")
        return 1
    finally:
        connection.close()
    sys.stdout.write(f"{address}: {answer.status} {text}\n")
    return int(answer.status != http.HTTPStatus.OK)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
