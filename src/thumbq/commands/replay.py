"""What `thumbq webhook replay` does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thumbq.backends import open_for_callbacks
from thumbq.core import keys
from thumbq.core.job import ObjectRef
from thumbq.errors import BackendError, Problem, SetupError
from thumbq.manifests import read_manifest
from thumbq.webhooks.making import make_sender
from thumbq.webhooks.sender import NotCallable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from thumbq.core.manifest import Manifest
    from thumbq.ports import Backend
    from thumbq.settings import Settings
    from thumbq.webhooks.sender import CallbackSender


@dataclass(frozen=True, slots=True)
class Replayed:
    """The result for one job; ``error`` is None when its callback is sent again."""

    name: str
    callback_id: str | None = None
    error: str | None = None


async def replay(settings: Settings, names: Iterable[str], *, report: Callable[[Replayed], None]) -> None:
    """Send the callbacks of jobs again, each named by its id or its original's key. Raises SetupError."""
    if settings.webhooks is None:
        fix = "write [webhooks] into thumbq.toml (`thumbq docs callbacks` has an example)"
        raise SetupError([Problem("no callbacks are called: there is no table [webhooks]", fix)])
    async with open_for_callbacks(settings) as backend:
        sender = make_sender(settings, backend)
        assert sender is not None
        for name in names:
            report(await _replay(name, backend, sender))


async def _replay(name: str, backend: Backend, sender: CallbackSender) -> Replayed:
    try:
        manifest = await _find(name, backend)
        if manifest is None:
            return Replayed(name, error="there is no such job, or it has not ended")
        if manifest.status == "deleted":
            return Replayed(name, error="the job was deleted")
        return Replayed(name, await sender.send_again(manifest))
    except (NotCallable, BackendError) as error:
        return Replayed(name, error=str(error))


async def _find(name: str, backend: Backend) -> Manifest | None:
    for key in _keys(name):
        if (manifest := await read_manifest(backend.store, ObjectRef(backend.bucket, key))) is not None:
            return manifest
    return None


def _keys(name: str) -> Iterator[str]:
    if keys.is_id(name):
        yield keys.upload_key(name)
        yield keys.inbox_key(name)
    yield name
