"""What is asked of clients."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from thumbq.accesstokens import AccessTokens

if TYPE_CHECKING:
    from thumbq.settings import Settings
    from thumbq.web.ratelimit import RateLimit


@dataclass(frozen=True, slots=True)
class AccessRules:
    """A token (None: whoever reaches the service may do everything), and not more requests than a limit, if any."""

    tokens: AccessTokens | None = None
    public_renditions: bool = False
    rate_limit: RateLimit | None = None

    @property
    def renditions_are_public(self) -> bool:
        """Whether anybody may have a rendition, and a cache may give it to anybody."""
        return self.tokens is None or self.public_renditions


OPEN: Final = AccessRules()


def make_access_rules(settings: Settings) -> AccessRules:
    """Return what the settings ask of clients. Raises SetupError when something is wrong with their tokens."""
    rate_limit = None
    if settings.rate_limit is not None:
        from thumbq.web.ratelimit import RateLimit  # noqa: PLC0415 - limits takes 0.1 s to import

        rate_limit = RateLimit(settings.rate_limit, time.monotonic)
    tokens = AccessTokens(settings.read_tokens) if settings.asks_for_tokens else None
    return AccessRules(tokens, settings.public_renditions, rate_limit)
