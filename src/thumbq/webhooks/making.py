"""What the settings make of callbacks: the rules, and what sends them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from thumbq.core.callbackrules import CallbackRules
from thumbq.core.links import Links
from thumbq.webhooks.addresses import refusal
from thumbq.webhooks.sender import CallbackSender

if TYPE_CHECKING:
    from thumbq.ports import Backend
    from thumbq.settings import Settings


def callback_rules(settings: Settings) -> CallbackRules | None:
    """Return which URLs may be called; None where callbacks are kept and not called."""
    table = settings.webhooks
    if table is None:
        return None
    return CallbackRules(
        hosts=table.hosts,
        ports=table.ports,
        allow_http=table.allow_http,
        address_refusal=partial(refusal, networks=table.private_networks),
    )


def make_sender(settings: Settings, backend: Backend | None) -> CallbackSender | None:
    """Return what sends callbacks to the queue of this backend; None where none are called."""
    rules = callback_rules(settings)
    if rules is None or settings.webhooks is None or backend is None:
        return None
    links = Links(settings.public_url or "")
    return CallbackSender(backend.queue, backend.store, rules, settings.webhooks.url, settings.catalog, links)
