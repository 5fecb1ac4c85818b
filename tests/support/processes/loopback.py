"""``thumbq`` that may call endpoints on loopback: a seam that no setting reaches.

With ``die`` before the command it ends, as by kill -9, when the first outcome is to be told of.
"""

from __future__ import annotations

import os
import signal
import sys
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

from thumbq.webhooks import addresses

if TYPE_CHECKING:
    from collections.abc import Sequence


def let_in_loopback() -> None:
    judge = addresses.refusal
    loopback = ip_network("127.0.0.0/8")

    def refusal(address: Any, *, networks: Sequence[Any]) -> str | None:
        return None if address in loopback else judge(address, networks=networks)

    addresses.refusal = refusal


def die_before_the_first_word() -> None:
    from thumbq.webhooks.sender import CallbackSender  # noqa: PLC0415 - after the seam

    async def announce(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    CallbackSender.announce = announce  # type: ignore[method-assign]  # the seam


if __name__ == "__main__":
    let_in_loopback()
    if sys.argv[1] == "die":
        sys.argv.pop(1)
        die_before_the_first_word()
    from thumbq.cli import main

    main()
