"""Events: that a job has ended, as what is published to AWS's own plumbing."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from thumbq.core import keys
from thumbq.core.callbackmessage import callback_id
from thumbq.core.job import ObjectRef
from thumbq.core.outcomesize import fitting

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from thumbq.core.manifest import Manifest
    from thumbq.core.outcome import Outcome
    from thumbq.core.tracecontext import TraceContext

SOURCE: Final = "thumbq"
"""The source of events on EventBridge."""

MAX_BODY_BYTES: Final = (1 << 18) - (1 << 15)
"""With its attributes an event has less than 256 KiB: all that SNS takes, and EventBridge before 2026.

Amazon SNS API Reference, Publish; Amazon EventBridge User Guide, "Calculating PutEvents event entry size".
"""

_MAX_PRESETS_BYTES: Final = 1 << 14
_OVERHEAD: Final = 512  # names and types of the attributes

# Amazon SQS API Reference, SendMessage, "MessageGroupId"; SNS has the same.
_GROUP: Final = re.compile(r"[!-~]{1,128}")

# What XML 1.0 can hold, as SNS and SQS ask of texts (Amazon SQS API Reference, SendMessage, "MessageBody").
_UNSENDABLE: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Attribute:
    """A message attribute of SNS and SQS: its data type, and its value as a text."""

    data_type: str
    value: str


@dataclass(frozen=True, slots=True)
class JobEvent:
    """That a job has ended. ``body`` is the job, in JSON and ASCII.

    ``id`` is the same whenever the end is told of, by a callback too.
    """

    id: str
    type: str
    body: str
    source: ObjectRef
    status: str
    presets: tuple[str, ...]
    ended_at: datetime
    trace: TraceContext | None = None
    """The trace that it is published in."""

    @property
    def attributes(self) -> Mapping[str, Attribute]:
        """What subscriptions filter on, and the trace; no attribute may be empty, and such a one is absent.

        ``String.Array`` is SNS's own type. For SQS it is a String with a label of ours, as SNS itself delivers it raw.
        """
        attributes = {"status": Attribute("String", self.status)}
        listed = json.dumps(self.presets, separators=(",", ":"))
        if self.presets and len(listed) <= _MAX_PRESETS_BYTES:
            attributes["presets"] = Attribute("String.Array", listed)
        if self.prefix and not _UNSENDABLE.search(self.prefix):
            attributes["prefix"] = Attribute("String", self.prefix)
        if self.trace is not None:
            attributes |= {name: Attribute("String", value) for name, value in self.trace.values.items()}
        return attributes

    @property
    def prefix(self) -> str:
        """The original's key up to its last slash, with it: ``uploads/``, also where keys are spread."""
        return keys.folder_of(self.source.key)

    @property
    def group(self) -> str:
        """The message group in FIFO topics and queues: the original's key, or a hash of one that is none."""
        key = self.source.key
        return key if _GROUP.fullmatch(key) else hashlib.sha256(key.encode()).hexdigest()

    @property
    def size(self) -> int:
        """How many bytes it has in a request, at most."""
        return len(self.body) + sum(4 * len(attribute.value) for attribute in self.attributes.values()) + _OVERHEAD


def make_event(outcome: Outcome, manifest: Manifest) -> JobEvent:
    """Return the event of an outcome, which a manifest records. One that would be too large leaves out the least."""
    presets = (*manifest.renditions, *(manifest.failed or {}))
    return JobEvent(
        id=callback_id(manifest),
        type=outcome.type,
        body=json.dumps(fitting(outcome, MAX_BODY_BYTES).data.members(), separators=(",", ":")),
        source=ObjectRef(manifest.source.bucket, manifest.source.key),
        status=manifest.status,
        presets=tuple(dict.fromkeys(presets)),
        ended_at=manifest.finished_at,
    )
