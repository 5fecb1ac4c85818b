"""What botocore knows of services, of which only what thumbq's clients and their credentials use is kept.

By itself botocore keeps the endpoints of 300 services and the documentation of each parameter: 9 MB, in files that it
looks for in the directories of 400 services.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import DataNotFoundError
from botocore.loaders import JSONFileLoader, Loader

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

SERVICES: Final = {
    "s3": "s3",
    "sqs": "sqs",
    # those that events are published to, besides queues
    "sns": "sns",
    "events": "events",
    # those that credentials come from: roles, IAM Identity Center, the login of the console
    "sts": "sts",
    "sso": "portal.sso",
    "sso-oidc": "oidc",
    "signin": "signin",
}
"""The services that there are clients of: the name of each, and its name in ``endpoints.json``."""

_KEPT_ENDPOINTS: Final = frozenset(SERVICES.values())


def model_loader(search_path: str | None) -> Loader:
    """Return a loader, as ``botocore.loaders.create_loader`` does, of what these services need."""
    paths = [] if search_path is None else search_path.split(os.pathsep)
    expanded = [os.path.expanduser(os.path.expandvars(path)) for path in paths]  # noqa: PTH111 - also a relative one
    return _Loader(extra_search_paths=expanded, file_loader=_Files())


class _Loader(Loader):
    def list_available_services(self, type_name: str) -> list[str]:
        """Return those of the services that have a file of this type."""
        found = []
        for name in SERVICES:
            with suppress(DataNotFoundError):
                self.list_api_versions(name, type_name)
                found.append(name)
        return found


class _Files(JSONFileLoader):
    def _load_file(self, full_path: str, open_method: Callable[[str, str], BinaryIO]) -> Any:
        if not os.path.isfile(full_path):  # noqa: PTH113 - a path of botocore's
            return None
        with open_method(full_path, "rb") as file:
            return json.loads(file.read(), object_pairs_hook=_kept)


def _kept(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of a file with an empty documentation; of a partition, these services' endpoints only."""
    found = dict(pairs)
    if isinstance(found.get("documentation"), str):
        found["documentation"] = ""  # some parts of botocore read it
    if "partition" in found and "services" in found:
        services = found["services"]
        found["services"] = {name: services[name] for name in _KEPT_ENDPOINTS & services.keys()}
    return found
