"""The table of messages, as plain functions over a connection with the time as an argument; for times see leases."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from thumbq.core import tracecontext
from thumbq.errors import SendRefused
from thumbq.local import deadlettertable, leases
from thumbq.ports import FIFO_ENDING, QueueCounts, ReceivedMessage

if TYPE_CHECKING:
    import sqlite3

    from thumbq.core.tracecontext import TraceContext

# The + lets SQLite walk an index in order instead of sorting all that are visible: the oldest are nearly always at the
# front.
_OLDEST: Final = (
    "SELECT seq, id, body, receive_count, sent_at, group_id, traceparent, tracestate FROM messages"
    " WHERE queue = :queue AND (+visible_at <= :now OR +visible_at > :latest)"
)

# A message that is not visible is in flight, or waits for its next receive: its whole group waits with it, as on SQS.
_OF_FREE_GROUPS: Final = (
    " AND group_id NOT IN (SELECT group_id FROM messages"
    " WHERE queue = :queue AND visible_at > :now AND visible_at <= :latest)"
)
_IN_ORDER: Final = " ORDER BY seq"


COUNTED: Final = 1000
"""How many messages of a queue are counted at a start."""


@dataclass(frozen=True, slots=True)
class QueueRules:
    """A queue's name in the database, and how often its messages are handed out."""

    queue: str
    max_receive_count: int

    @property
    def label(self) -> str:
        """Its name for people: the only queue has one too (QueueConfig.own_name)."""
        return self.queue or "local"

    @property
    def fifo(self) -> bool:
        """Whether messages of a group come in order; as on SQS the name says so."""
        return self.queue.endswith(FIFO_ENDING)

    def check_group(self, group: str | None) -> None:
        """Raise SendRefused for a message that needs a group and has none."""
        if self.fifo and group is None:
            raise SendRefused(f"{self.queue} is a FIFO queue: a message without a group has no place in it")

    @property
    def oldest_first(self) -> str:
        """The SQL statement that finds the messages to hand out, the oldest first."""
        return _OLDEST + (_OF_FREE_GROUPS if self.fifo else "") + _IN_ORDER


def send(
    connection: sqlite3.Connection,
    rules: QueueRules,
    *,
    message_id: str,
    body: str,
    group: str | None,
    trace: TraceContext | None,
    now: float,
) -> None:
    """Append a message."""
    connection.execute(
        "INSERT INTO messages (queue, id, body, group_id, traceparent, tracestate, sent_at, visible_at)"
        " VALUES (:queue, :id, :body, :group, :parent, :state, :now, :now)",
        {"queue": rules.queue, "id": message_id, "body": body, "group": group, "now": now}
        | deadlettertable.columns_of(trace),
    )


def any_to_take(connection: sqlite3.Connection, rules: QueueRules, *, now: float) -> bool:
    """Whether a receive would find a message, or one that becomes a dead letter."""
    if not rules.fifo:
        return leases.any_visible(connection, "messages", queue=rules.queue, now=now)
    found = connection.execute(f"{rules.oldest_first} LIMIT 1", {"queue": rules.queue, **leases.visibility(now)})
    return found.fetchone() is not None


def take(
    connection: sqlite3.Connection, rules: QueueRules, *, limit: int, token: str, timeout_s: int, now: float
) -> list[ReceivedMessage]:
    """Hand out the oldest visible messages; ``token`` is unique to this receive.

    A message that was handed out ``max_receive_count`` times already becomes a dead letter. In a FIFO queue the next
    of its group takes its place.
    """
    chosen: list[tuple[int, str, str, int, float, str | None, str | None, str | None]] = []
    dead: list[int] = []
    with closing(connection.execute(rules.oldest_first, {"queue": rules.queue, **leases.visibility(now)})) as found:
        for row in found:
            seq, _, _, receive_count, *_ = row
            if receive_count >= rules.max_receive_count:
                dead.append(seq)
                continue
            chosen.append(row)
            if len(chosen) == limit:
                break
    for seq in dead:
        deadlettertable.bury(connection, seq, now=now)
    return [
        ReceivedMessage(
            message_id,
            leases.lease(connection, "messages", seq, token=token, timeout_s=timeout_s, now=now),
            body,
            receive_count + 1,
            sent_at,
            group=group,
            sender=tracecontext.parse(parent, state),
        )
        for seq, message_id, body, receive_count, sent_at, group, parent, state in chosen
    ]


def counts(connection: sqlite3.Connection, queue: str, *, now: float) -> QueueCounts:
    """Count the messages of a queue; none is ever delayed, since no message is sent with a delay here."""
    total, visible, dead = connection.execute(
        "SELECT count(*), coalesce(sum(visible_at <= :now OR visible_at > :latest), 0),"
        " (SELECT count(*) FROM dead_letters WHERE queue = :queue) FROM messages WHERE queue = :queue",
        {"queue": queue, **leases.visibility(now)},
    ).fetchone()
    return QueueCounts(visible=visible, in_flight=total - visible, delayed=0, dead=dead)


def waiting(connection: sqlite3.Connection) -> dict[str, int]:
    """Count the messages of every queue that has any, up to ``COUNTED`` each.

    A start asks this, so it goes from name to name in the index, and does not look at millions of messages.
    """
    rows = connection.execute(
        "WITH RECURSIVE names (queue) AS ("
        " SELECT min(queue) FROM messages UNION ALL"
        " SELECT (SELECT min(queue) FROM messages WHERE queue > names.queue) FROM names WHERE queue IS NOT NULL)"
        " SELECT queue, (SELECT count(*) FROM (SELECT 1 FROM messages WHERE messages.queue = names.queue LIMIT ?))"
        " FROM names WHERE queue IS NOT NULL",
        (COUNTED,),
    )
    return dict(rows)
