"""The context of a trace, as it travels with a message or a request (W3C Trace Context).

It is the trace's id, the id of the span that comes before, and whether the trace is recorded.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

PARENT: Final = "traceparent"
STATE: Final = "tracestate"
"""The names of the headers, and of the message attributes."""

ATTRIBUTES: Final = (PARENT, STATE)

_TYPE: Final = "String"

# W3C Trace Context, "traceparent Header Field Values": a later version may have more behind a dash; ff is none.
_PARENT: Final = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?P<trace>(?!0{32})[0-9a-f]{32})-(?P<span>(?!0{16})[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<more>-[\x20-\x7e]{0,200})?"
)

# W3C Trace Context, "tracestate Header Field Values" and "tracestate Limits".
_MEMBER: Final = re.compile(
    r"(?P<key>[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)
_MAX_MEMBERS: Final = 32
_MAX_STATE: Final = 512
_LONG_MEMBER: Final = 128
_MAX_STATE_READ: Final = 8192

# AWS X-Ray Developer Guide, "Tracing header".
_XRAY_ROOT: Final = re.compile(r"1-([0-9a-f]{8})-([0-9a-f]{24})")
_SAMPLED: Final = 1


class TraceContext(NamedTuple):
    """The two values that name a trace: ``traceparent``, and what tracing systems have added to it."""

    parent: str
    state: str | None = None

    @property
    def ids(self) -> tuple[str, str, int]:
        """The ids of the trace and of the span, in hex, and the flags."""
        _, trace, span, flags = self.parent.split("-")[:4]
        return trace, span, int(flags, 16)

    @property
    def values(self) -> dict[str, str]:
        """Its headers."""
        return {PARENT: self.parent} if self.state is None else {PARENT: self.parent, STATE: self.state}

    @property
    def attributes(self) -> dict[str, Any]:
        """Its message attributes, as SQS and SNS take them."""
        return {name: {"DataType": _TYPE, "StringValue": value} for name, value in self.values.items()}

    @property
    def size(self) -> int:
        """How many bytes of a message they are: names and types count too (Amazon SQS Developer Guide)."""
        return sum(len(name) + len(_TYPE) + len(value) for name, value in self.values.items())

    @property
    def xray(self) -> str:
        """The same for AWS X-Ray, which knows no state."""
        trace, span, flags = self.ids
        return f"Root=1-{trace[:8]}-{trace[8:]};Parent={span};Sampled={flags & _SAMPLED}"


def parse(parent: str | None, state: str | None = None) -> TraceContext | None:
    """Return the context that two headers give; None for a ``traceparent`` that is none. A bad state is left out.

    Of headers that come several times the values are joined by commas (RFC 9110, 5.3): two parents are none.
    """
    found = _PARENT.fullmatch(parent) if parent else None
    if found is None or (found["version"] == "00" and found["more"]):
        return None
    return TraceContext(found[0], _state(state) if state else None)


def _state(text: str) -> str | None:
    """Return a ``tracestate`` as it is passed on; None for one that is none. One that is too long loses members."""
    if len(text) > _MAX_STATE_READ:
        return None
    members = [member for part in text.split(",") if (member := part.strip(" \t"))]
    found = [_MEMBER.fullmatch(member) for member in members]
    keys = [match["key"] for match in found if match is not None]
    if len(keys) < len(members) or len(set(keys)) < len(keys) or len(keys) > _MAX_MEMBERS:
        return None
    if len(",".join(members)) > _MAX_STATE:
        members = [member for member in members if len(member) <= _LONG_MEMBER]
    while len(",".join(members)) > _MAX_STATE:
        members.pop()
    return ",".join(members) or None


def of_message(attributes: Mapping[str, Any], xray: str | None = None) -> TraceContext | None:
    """Return the context that a message has in its attributes, else that of its ``AWSTraceHeader``."""
    values = (attributes.get(name, {}).get("StringValue") for name in ATTRIBUTES) if attributes else (None, None)
    return parse(*values) or (_of_xray(xray) if xray else None)


def _of_xray(header: str) -> TraceContext | None:
    parts = dict(part.strip().partition("=")[::2] for part in header.split(";"))
    root = _XRAY_ROOT.fullmatch(parts.get("Root", ""))
    if root is None:
        return None
    return parse(f"00-{root[1]}{root[2]}-{parts.get('Parent', '')}-0{int(parts.get('Sampled') == '1')}")


def beside(trace: TraceContext | None, body: str, *, max_bytes: int) -> TraceContext | None:
    """Return the context if there is room for it beside a body: no message is too large for its trace."""
    if trace is None or (len(body) * 4 + trace.size > max_bytes and len(body.encode()) + trace.size > max_bytes):
        return None
    return trace
