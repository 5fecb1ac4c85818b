"""What is asked of clients."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from thumbq.accesstokens import AccessTokens
from thumbq.process import SystemClock

if TYPE_CHECKING:
    from thumbq.ports import Clock
    from thumbq.settings import Settings
    from thumbq.web.ratelimit import RateLimit


WRONG_TOKENS: Final = "5/minute"
"""How many wrong tokens a client address may try on the page."""


@dataclass(frozen=True, slots=True)
class AccessRules:
    """A token (None: whoever reaches the service may do everything), and not more requests than a limit, if any.

    ``wrong_tokens`` is how many a client may try before it has to wait.
    """

    tokens: AccessTokens | None = None
    public_renditions: bool = False
    rate_limit: RateLimit | None = None
    wrong_tokens: RateLimit | None = None
    clock: Clock = field(default_factory=SystemClock)

    @property
    def renditions_are_public(self) -> bool:
        """Whether anybody may have a rendition, and a cache may give it to anybody."""
        return self.tokens is None or self.public_renditions


OPEN: Final = AccessRules()


def make_access_rules(settings: Settings) -> AccessRules:
    """Return what the settings ask of clients. Raises SetupError when something is wrong with their tokens."""
    rate_limit = _limit(settings.rate_limit)
    if not settings.asks_for_tokens:
        return AccessRules(None, settings.public_renditions, rate_limit)
    wrong_tokens = _limit(WRONG_TOKENS if settings.page else None)
    return AccessRules(AccessTokens(settings.read_tokens()), settings.public_renditions, rate_limit, wrong_tokens)


def _limit(text: str | None) -> RateLimit | None:
    if text is None:
        return None
    from thumbq.web.ratelimit import RateLimit  # noqa: PLC0415 - limits takes 0.1 s to import

    return RateLimit(text, time.monotonic)
