"""Which events notifications of a bucket are about, and whether ours can stand beside them.

S3 refuses two notifications that one and the same event could belong to (Amazon S3 User Guide, "Configuring event
notifications using object key name filtering"). To EventBridge it sends everything, beside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from thumbq.core.keys import INBOX_PREFIX
from thumbq.errors import Problem, SetupError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_CREATED: Final = "s3:ObjectCreated:"
_FORM: Final = "s3:ObjectCreated:Post"
"""What S3 says of an object that came with a form."""

_KINDS: Final = {
    "QueueConfigurations": "QueueArn",
    "TopicConfigurations": "TopicArn",
    "LambdaFunctionConfigurations": "LambdaFunctionArn",
}


@dataclass(frozen=True, slots=True)
class Reach:
    """Which events and keys a notification is about."""

    events: frozenset[str]
    prefix: str
    suffix: str

    @property
    def meets_ours(self) -> bool:
        """Whether an event could belong to it and to ours."""
        created = any(event.startswith(_CREATED) for event in self.events)
        return created and (self.prefix.startswith(INBOX_PREFIX) or INBOX_PREFIX.startswith(self.prefix))

    @property
    def covers_ours(self) -> bool:
        """Whether every form of a direct upload makes an event of it."""
        forms = not self.events.isdisjoint({f"{_CREATED}*", _FORM})
        return forms and INBOX_PREFIX.startswith(self.prefix) and not self.suffix


def reach(entry: Mapping[str, Any]) -> Reach:
    """Return what a notification, as S3 tells it, is about."""
    rules = entry.get("Filter", {}).get("Key", {}).get("FilterRules", [])
    found = {rule["Name"].lower(): rule.get("Value", "") for rule in rules}
    return Reach(frozenset(entry["Events"]), found.get("prefix", ""), found.get("suffix", ""))


def checked(configuration: Mapping[str, Any], queue_arn: str, own_id: str) -> str:
    """Return a note when others' notifications do what ours would, and "" when there is room for it.

    Raises SetupError when there is neither.
    """
    for entry, target in _others(configuration, own_id):
        about = reach(entry)
        if not about.meets_ours:
            continue
        named = f"notification {entry.get('Id', 'without an id')}"
        if target != queue_arn or not about.covers_ours:
            what = f"the bucket's {named} takes events of {about.prefix or 'every key'} to {target}: S3 refuses another"
            fix = f"narrow it so that it leaves {INBOX_PREFIX} out, or have {target} pass its events on to the queue"
            raise SetupError([Problem(what, fix)])
        wider = "" if about.prefix else "; it sends those of other uploads too, which are then queued twice"
        return f"left alone: {named} brings them{wider}"
    return ""


def _others(configuration: Mapping[str, Any], own_id: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    for kind, target in _KINDS.items():
        for entry in configuration.get(kind, []):
            if kind != "QueueConfigurations" or entry.get("Id") != own_id:
                yield entry, entry[target]
