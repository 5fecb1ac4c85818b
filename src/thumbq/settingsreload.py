"""Presets and routes, read again when the service is asked to; all other settings need a restart."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import anyio.to_thread
import structlog

from thumbq.core.catalog import CatalogInForce
from thumbq.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from thumbq.accesstokens import AccessTokens
    from thumbq.settings import Settings

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_RELOADED: Final = ("presets", "routes")
_ELSEWHERE: Final = ("config", "tokens", "tokens_file")


class SettingsReload:
    """Puts presets and routes in force as they stand in the file.

    ``read`` raises SetupError for what is wrong; it is None where there is no file.
    """

    def __init__(self, settings: Settings, read: Callable[[], Settings] | None) -> None:
        self.catalogs = CatalogInForce(settings.catalog)
        self._started_with = settings
        self._read = read

    def and_of(self, tokens: AccessTokens | None) -> Sequence[Callable[[], Awaitable[None]]]:
        """Return what is to be done to read all again: the settings, and a file of tokens."""
        own = [] if self._read is None else [partial(self._reload, self._read)]
        return own if tokens is None else [*own, tokens.reload]

    async def _reload(self, read: Callable[[], Settings]) -> None:
        """Read the settings again, and say in the log what became of it. When any is wrong, nothing changes."""
        try:
            settings = await anyio.to_thread.run_sync(read)
        except SetupError as error:
            log.error("settings.not_read", problems=[problem.what for problem in error.problems])  # noqa: TRY400 - its text says all
            return
        self.catalogs.change(settings.catalog)
        log.info(
            "settings.read",
            presets=list(settings.presets),
            routes=[route.prefix for route in settings.routes],
            restart_for=[name for name in type(settings).model_fields if self._needs_restart(name, settings)],
        )

    def _needs_restart(self, name: str, settings: Settings) -> bool:
        if name in (*_RELOADED, *_ELSEWHERE):
            return False
        return bool(getattr(settings, name) != getattr(self._started_with, name))
