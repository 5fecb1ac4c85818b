"""``thumbq`` that ends, as by kill -9, before a step of an upload under an idempotency key: by its number, from 0.

A claim is taken over after two seconds instead of a minute. A number of -1 never comes.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from thumbq.intake import claims, storing

if TYPE_CHECKING:
    from collections.abc import Callable


def die_before(step: int) -> None:
    left = step

    def count() -> None:
        nonlocal left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        async def counting(*args: Any, **kwargs: Any) -> Any:
            count()
            return await call(*args, **kwargs)

        return counting

    claims.write_record = counted(claims.write_record)  # type: ignore[attr-defined]  # the seam
    storing._store = counted(storing._store)
    storing._queue = counted(storing._queue)


if __name__ == "__main__":
    claims.TAKEN_OVER_AFTER_S = 2  # type: ignore[misc]  # the seam
    die_before(int(sys.argv.pop(1)))
    from thumbq.cli import main

    main()
