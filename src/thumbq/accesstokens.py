"""The tokens that clients may have, read again when the service is asked to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio.to_thread
import structlog

from thumbq.core import session, token
from thumbq.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Callable

    from thumbq.core.token import Token

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class AccessTokens:
    """The tokens in force. ``read`` returns those there are, or raises SetupError."""

    def __init__(self, read: Callable[[], tuple[Token, ...]]) -> None:
        self._read = read
        self._tokens = read()

    def find(self, text: str) -> Token | None:
        """Return the token with this text, if there is one."""
        return token.find(self._tokens, text)

    def find_session(self, text: str, now: float) -> Token | None:
        """Return the token whose session this is at a time (POSIX seconds); None when it has ended, or the token."""
        return session.find(self._tokens, text, now)

    async def reload(self) -> None:
        """Read the tokens again, and say in the log what became of it. When any is wrong, those in force stay."""
        try:
            self._tokens = await anyio.to_thread.run_sync(self._read)
        except SetupError as error:
            log.error("tokens.not_read", problems=[problem.what for problem in error.problems])  # noqa: TRY400 - its text says all
        else:
            log.info("tokens.read", names=[each.name for each in self._tokens])
