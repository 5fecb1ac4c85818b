"""A sender's own metadata of a job: names and values, for the sender alone. thumbq keeps and tells them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import parse_qsl, quote, urlencode

from pydantic import Field

if TYPE_CHECKING:
    from collections.abc import Mapping

METADATA: Final = "thumbq-metadata"
"""Under this name an original's metadata has it, as a query string."""

MAX_NAMES: Final = 10
MAX_BYTES: Final = 500
"""All names and values together, in UTF-8."""

NAME_PATTERN: Final = "[a-z0-9_-]{1,32}"
_NAME: Final = re.compile(NAME_PATTERN)
# All that neither header lines nor the policies of presigned uploads read as something else.
_AS_THEY_ARE: Final = "/:,;@!*()"

JobMetadata = Annotated[
    dict[str, str],
    Field(
        description=f"The sender's own: names of `{NAME_PATTERN}` and their values, {MAX_BYTES} bytes together.",
        max_length=MAX_NAMES,
        json_schema_extra={"propertyNames": {"pattern": f"^{NAME_PATTERN}$"}},
    ),
]


def check(metadata: Mapping[str, str]) -> None:
    """Raise ValueError, with a reason for people, for metadata that is not taken."""
    for name, value in metadata.items():
        if not _NAME.fullmatch(name):
            shown = name[:40].encode(errors="replace").decode()
            raise ValueError(f'the name "{shown}" has other characters than a-z, 0-9, _ and -, or not 1 to 32 of them')
        if not value:
            raise ValueError(f"{name} is empty: leave it out, or fill it in")
    if len(metadata) > MAX_NAMES:
        raise ValueError(f"there are {len(metadata)} names, at most {MAX_NAMES} are taken")
    try:
        size = sum(len(name) + len(value.encode()) for name, value in metadata.items())
    except UnicodeEncodeError:
        raise ValueError("a value has half of a surrogate pair, which is no character") from None
    if size > MAX_BYTES:
        raise ValueError(f"names and values have {size:,} bytes together, at most {MAX_BYTES} are taken")


def encode(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return an original's metadata for this of its sender's."""
    return {METADATA: urlencode(metadata, quote_via=quote, safe=_AS_THEY_ARE)} if metadata else {}


def decode(metadata: Mapping[str, str]) -> dict[str, str] | None:
    """Return the sender's metadata that stands in an original's; None when there is none that is taken."""
    try:
        found = dict(parse_qsl(metadata.get(METADATA, ""), errors="strict", max_num_fields=MAX_NAMES))
        check(found)
    except ValueError:
        return None
    return found or None
