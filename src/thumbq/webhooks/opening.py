"""Opening what calls endpoints."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from thumbq.webhooks.caller import open_caller
from thumbq.webhooks.handler import CallbackHandler
from thumbq.webhooks.making import callback_rules
from thumbq.webhooks.signing import Signer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from random import Random

    from thumbq.jobs.resources import JobResources
    from thumbq.settings import Settings


@asynccontextmanager
async def callback_handler(
    settings: Settings, resources: JobResources, random: Random
) -> AsyncIterator[CallbackHandler | None]:
    """Open what handles callbacks; None where none are called."""
    rules = callback_rules(settings)
    if rules is None or settings.webhooks is None:
        yield None
        return
    async with open_caller(settings.webhooks) as caller:
        signer = Signer(settings.signing_secrets())
        yield CallbackHandler(resources, caller=caller, rules=rules, signer=signer, random=random)
