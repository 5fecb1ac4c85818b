"""The queue's rules, as plain functions over a connection with the time as an argument; for times see holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thumbq.local import holds, letters
from thumbq.ports import QueueCounts, ReceivedMessage

if TYPE_CHECKING:
    import sqlite3


def send(connection: sqlite3.Connection, *, message_id: str, body: str, now: float) -> None:
    """Append a message."""
    connection.execute(
        "INSERT INTO messages (id, body, sent_at, visible_at) VALUES (:id, :body, :now, :now)",
        {"id": message_id, "body": body, "now": now},
    )


def take(
    connection: sqlite3.Connection, *, limit: int, token: str, timeout_s: int, max_receive_count: int, now: float
) -> list[ReceivedMessage]:
    """Hand out the oldest visible messages; ``token`` is unique to this receive.

    A message that was handed out ``max_receive_count`` times already becomes a dead letter on the way.
    """
    taken: list[ReceivedMessage] = []
    last = 0
    # The oldest are nearly always at the front: the + keeps SQLite from sorting all that are visible.
    oldest = (
        "SELECT seq, id, body, receive_count, sent_at FROM messages"
        " WHERE seq > :last AND (+visible_at <= :now OR +visible_at > :latest) ORDER BY seq LIMIT 1"
    )
    while len(taken) < limit:
        row = connection.execute(oldest, {"last": last, **holds.at(now)}).fetchone()
        if row is None:
            break
        last, message_id, body, receive_count, sent_at = row
        if receive_count >= max_receive_count:
            letters.bury(connection, last, now=now)
            continue
        receipt = holds.hold(connection, "messages", last, token=token, timeout_s=timeout_s, now=now)
        taken.append(ReceivedMessage(message_id, receipt, body, receive_count + 1, sent_at))
    return taken


def counts(connection: sqlite3.Connection, *, now: float) -> QueueCounts:
    """Count the messages; none is ever delayed, for there is no sending with a delay here."""
    total, visible, dead = connection.execute(
        "SELECT count(*), coalesce(sum(visible_at <= :now OR visible_at > :latest), 0),"
        " (SELECT count(*) FROM dead_letters) FROM messages",
        holds.at(now),
    ).fetchone()
    return QueueCounts(visible=visible, in_flight=total - visible, delayed=0, dead=dead)
