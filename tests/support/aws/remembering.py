"""botocore that makes once what is the same for each of a process's sessions and clients: most of what these cost."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import botocore.loaders
import pytest
from aiobotocore.client import AioClientCreator
from botocore import hooks
from botocore.endpoint_provider import EndpointProvider

from thumbq.aws.models import model_loader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def once(make: Callable[..., Any], known_by: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``make``, but the same for the same that ``known_by`` makes of the arguments; not where that is None."""
    made: dict[Any, Any] = {}

    def remembered(*arguments: Any, **named: Any) -> Any:
        known = known_by(*arguments, **named)
        if known is None:
            return make(*arguments, **named)
        if known not in made:
            made[known] = make(*arguments, **named)
        return made[known]

    return remembered


@contextmanager
def remembering() -> Iterator[None]:
    """Share service models, rules of endpoints, classes of clients, and what handlers of events are looked up by."""
    usual, ours = botocore.loaders.create_loader(), model_loader(None)
    creator: Any = AioClientCreator
    aliaser: Any = hooks.EventAliaser
    make_class = creator._create_client_class
    classes: dict[str, type] = {}

    async def client_class(self: Any, service_name: str, model: Any) -> type:
        if service_name not in classes:
            classes[service_name] = await make_class(self, service_name, model)
        return classes[service_name]

    def copied(node: hooks.NodeList) -> hooks.NodeList:
        return hooks.NodeList(node.first[:], node.middle[:], node.last[:])

    accepts = once(hooks.accepts_kwargs, lambda function: getattr(function, "__code__", None))
    alias = once(aliaser._alias_event_name, lambda _, name: name)
    model = once(creator._load_service_model, lambda _, name, *version: (name, *version))
    # The loaders keep these data.
    rules = once(EndpointProvider, lambda ruleset_data, partition_data, **_: (id(ruleset_data), id(partition_data)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.session.create_loader", lambda _search_path: usual)
        patch.setattr("thumbq.aws.session.model_loader", lambda _search_path: ours)
        patch.setattr(hooks, "accepts_kwargs", accepts)
        patch.setattr(aliaser, "_alias_event_name", alias)
        patch.setattr(hooks.NodeList, "__copy__", copied)
        patch.setattr("botocore.regions.EndpointProvider", rules)
        patch.setattr(creator, "_load_service_model", model)
        patch.setattr(creator, "_create_client_class", client_class)
        yield
