"""Names of files: random digits, and behind them what the object is, as far as a file's name has room.

The database is the truth. The rest of the name is for the day on which an older database is put back: it says what a
file was that no row names any more.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_FORM: Final = re.compile(r"[0-9a-f]{32}(?:,.*)?")
_DIGITS: Final = 32
_ESCAPED: Final = re.compile(rb"[^A-Za-z0-9._~%+@-]")  # % is left: file names in metadata are full of it
_ESCAPE: Final = re.compile(rb"\^([0-9a-f]{2})")


@dataclass(frozen=True, slots=True)
class Description:
    """What a name says of its object."""

    key: str
    content_type: str
    metadata: Mapping[str, str] = field(default_factory=dict)


def new(description: Description | None, *, max_bytes: int) -> str:
    """Make a name that no other file has.

    Where the description is longer than a name may be, it is left without its longest metadata, and in the end the name
    without any description.
    """
    digits = uuid.uuid4().hex
    if description is None:
        return digits
    name = f"{digits},{_escaped(description.key)},{_escaped(description.content_type)}"
    if len(name) > max_bytes:
        return digits
    for pair in sorted((f"{_escaped(one)}={_escaped(value)}" for one, value in description.metadata.items()), key=len):
        if len(name) + len(pair) < max_bytes:
            name += f",{pair}"
    return name


def is_name(text: str) -> bool:
    """Whether a file's name may be one of ours."""
    return _FORM.fullmatch(text) is not None


def described(name: str) -> Description | None:
    """Return what a name says of its object; None when it says nothing, as those of older releases."""
    match name[_DIGITS:].split(","):
        case ["", key, content_type, *pairs]:
            named = (pair.partition("=") for pair in pairs)
            try:
                metadata = {_plain(one): _plain(value) for one, _, value in named}
                return Description(_plain(key), _plain(content_type), metadata)
            except UnicodeDecodeError:
                return None
        case _:
            return None


def _escaped(text: str) -> str:
    return _ESCAPED.sub(lambda found: b"^%02x" % found[0][0], text.encode()).decode("ascii")


def _plain(text: str) -> str:
    return _ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), text.encode(errors="replace")).decode()
