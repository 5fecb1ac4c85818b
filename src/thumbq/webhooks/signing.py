"""Signatures of callbacks, by the library of Standard Webhooks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from standardwebhooks.webhooks import Webhook

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Signer:
    """Signs with each of its ``secrets``: an endpoint that knows any of them can verify."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._webhooks = [Webhook(secret) for secret in secrets]

    def headers(self, callback_id: str, content: bytes, *, now: float) -> Mapping[str, str]:
        """Return the headers of a call at this time (POSIX seconds)."""
        at, text = datetime.fromtimestamp(int(now), UTC), content.decode()
        return {
            "content-type": "application/json",
            "webhook-id": callback_id,
            "webhook-timestamp": str(int(now)),
            "webhook-signature": " ".join(webhook.sign(callback_id, at, text) for webhook in self._webhooks),
        }
