"""Sending callbacks: as messages, once a job has ended or when somebody asks for it again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from thumbq.core.callbackmessage import make_callback
from thumbq.errors import ThumbqError
from thumbq.jobdocuments import outcome_document
from thumbq.webhooks.body import body_of

if TYPE_CHECKING:
    from thumbq.core.callbackrules import CallbackRules
    from thumbq.core.catalog import CatalogInForce
    from thumbq.core.links import Links
    from thumbq.core.manifest import Manifest
    from thumbq.ports import JobQueue, ObjectStore

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class NotCallable(ThumbqError):
    """Nobody can be called about an outcome. ``text`` says why."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


@dataclass(frozen=True, slots=True)
class CallbackSender:
    """Sends a callback for each outcome that names a URL to call, or has the settings' ``default_url``. An Announcer.

    A URL that may not be called keeps no job from being done: it is in the log.
    """

    queue: JobQueue
    store: ObjectStore
    rules: CallbackRules
    default_url: str | None
    catalogs: CatalogInForce
    links: Links

    async def announce(self, manifest: Manifest, *, attempt: int) -> None:
        """Send the callback of an outcome; see Announcer."""
        del attempt
        url = manifest.callback_url or self.default_url
        if url is None:
            return
        if (reason := self.rules.refusal(url)) is not None:
            log.warning("callback.not_sent", reason=reason, key=manifest.source.key)
            return
        await self._send(manifest, url)

    async def send_again(self, manifest: Manifest) -> str:
        """Send the callback of an outcome again, and return its id, which is that of the first time.

        Raises NotCallable and BackendError.
        """
        url = manifest.callback_url or self.default_url
        if url is None:
            raise NotCallable("The job has no callback_url, and [webhooks] has no url.")
        if (reason := self.rules.refusal(url)) is not None:
            raise NotCallable(f"The callback's URL may not be called: {reason}.")
        return await self._send(manifest, url)

    async def _send(self, manifest: Manifest, url: str) -> str:
        outcome = await outcome_document(manifest, self.store, self.catalogs.current, self.links)
        callback = make_callback(manifest, url, body_of(outcome))
        message_id = await self.queue.send(callback.encode())
        log.info("callback.sent", webhook_id=callback.id, webhook_message_id=message_id)
        return callback.id
