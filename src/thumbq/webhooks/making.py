"""What the settings make of callbacks: the rules, what sends them, and what calls.

What only those need who have callbacks is imported when they have them.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from thumbq.core.callbackrules import CallbackRules
from thumbq.core.catalog import CatalogInForce
from thumbq.core.links import Links
from thumbq.webhooks.sender import CallbackSender

if TYPE_CHECKING:
    from random import Random

    from thumbq.jobs.resources import JobResources
    from thumbq.ports import Backend
    from thumbq.settings import Settings
    from thumbq.webhooks.handler import CallbackHandler


def callback_rules(settings: Settings) -> CallbackRules | None:
    """Return which URLs may be called; None where callbacks are kept and not called."""
    table = settings.webhooks
    if table is None:
        return None
    from thumbq.webhooks.addresses import refusal  # noqa: PLC0415 - see above

    return CallbackRules(
        hosts=table.hosts,
        ports=table.ports,
        allow_http=table.allow_http,
        address_refusal=partial(refusal, networks=table.private_networks),
    )


def make_sender(
    settings: Settings, backend: Backend | None, catalogs: CatalogInForce | None = None
) -> CallbackSender | None:
    """Return what sends callbacks to the queue of this backend; None where none are called."""
    rules = callback_rules(settings)
    if rules is None or settings.webhooks is None or backend is None:
        return None
    links = Links(settings.public_url or "")
    catalogs = catalogs or CatalogInForce(settings.catalog)
    return CallbackSender(backend.queue, backend.store, rules, settings.webhooks.url, catalogs, links)


def make_handler(settings: Settings, resources: JobResources, random: Random) -> CallbackHandler | None:
    """Return what handles callbacks, and calls; None where none are called. Raises OSError for the file of secrets."""
    rules = callback_rules(settings)
    if rules is None or settings.webhooks is None:
        return None
    from thumbq.webhooks.caller import Caller  # noqa: PLC0415 - see above
    from thumbq.webhooks.handler import CallbackHandler  # noqa: PLC0415 - see above
    from thumbq.webhooks.signing import Signer  # noqa: PLC0415 - the library of signatures takes 17 ms

    caller = Caller(rules.address_refusal, timeout_s=settings.webhooks.timeout_s)
    signer = Signer(settings.signing_secrets())
    return CallbackHandler(resources, caller=caller, rules=rules, signer=signer, random=random)
