"""The tokens that clients may have, at this moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thumbq.core import session, token

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.core.token import Token


class AccessTokens:
    """The tokens in force."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tuple(tokens)

    def find(self, text: str) -> Token | None:
        """Return the token with this text, if there is one."""
        return token.find(self._tokens, text)

    def find_session(self, text: str, now: float) -> Token | None:
        """Return the token whose session this is at a time (POSIX seconds); None when it has ended, or the token."""
        return session.find(self._tokens, text, now)

    def change(self, tokens: Sequence[Token]) -> None:
        """Put others in force; sessions of those that are gone end with them."""
        self._tokens = tuple(tokens)
