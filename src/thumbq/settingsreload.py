"""Presets, routes and tokens, read again when the service is asked to; all other settings need a restart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio.to_thread
import structlog

from thumbq.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from thumbq.accesstokens import AccessTokens
    from thumbq.core.catalog import CatalogInForce
    from thumbq.core.token import Token
    from thumbq.settings import Settings

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_RELOADED: Final = ("config", "presets", "routes")
_OF_TOKENS: Final = ("access", "tokens", "tokens_file")


class SettingsReload:
    """Puts presets, routes and tokens in force as the settings have them now, all of them or none.

    ``read`` raises SetupError for what is wrong. ``tokens`` are those in force; None where no client needs one.
    """

    def __init__(
        self, settings: Settings, read: Callable[[], Settings], catalogs: CatalogInForce, tokens: AccessTokens | None
    ) -> None:
        self._started_with = settings
        self._catalogs = catalogs
        self._read = read
        self._tokens = tokens

    async def reload(self) -> None:
        """Read all again, and say in the log what became of it. When anything is wrong, nothing changes."""
        try:
            settings, tokens = await anyio.to_thread.run_sync(self._checked)
        except SetupError as error:
            log.error("settings.not_read", problems=[problem.what for problem in error.problems])  # noqa: TRY400 - its text says all
            return
        except Exception as error:
            # The service has settings that it can go on with, whatever a file may hold.
            log.exception("settings.not_read", problems=[f"{type(error).__name__}: {error}"])
            return
        self._catalogs.change(settings.catalog)
        if self._tokens is not None and tokens is not None:
            self._tokens.change(tokens)
        log.info(
            "settings.read",
            presets=list(settings.presets),
            routes=[route.prefix for route in settings.routes],
            tokens=[each.name for each in tokens or ()],
            restart_for=[name for name in type(settings).model_fields if self._needs_restart(name, settings)],
        )

    def _checked(self) -> tuple[Settings, Sequence[Token] | None]:
        settings = self._read()
        return settings, settings.read_tokens() if settings.asks_for_tokens else None

    def _needs_restart(self, name: str, settings: Settings) -> bool:
        # Other tokens are in force at once, but whether clients are asked for any is decided at the start.
        same_door = settings.asks_for_tokens == (self._tokens is not None)
        if name in _RELOADED or (name in _OF_TOKENS and same_door):
            return False
        return bool(getattr(settings, name) != getattr(self._started_with, name))
