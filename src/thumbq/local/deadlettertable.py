"""The table of dead letters, as plain functions over a connection with the time (POSIX seconds) as an argument."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thumbq.core import tracecontext
from thumbq.local import leases
from thumbq.ports import DeadLetter

if TYPE_CHECKING:
    import sqlite3

    from thumbq.core.tracecontext import TraceContext


def columns_of(trace: TraceContext | None) -> dict[str, str | None]:
    """Return the parameters ``parent`` and ``state`` for the columns of a message's trace."""
    return {"parent": None, "state": None} if trace is None else {"parent": trace.parent, "state": trace.state}


def send(
    connection: sqlite3.Connection,
    queue: str,
    *,
    message_id: str,
    body: str,
    note: str,
    group: str | None,
    trace: TraceContext | None,
    now: float,
) -> None:
    """Append a dead letter of a queue with its note."""
    connection.execute(
        "INSERT INTO dead_letters"
        " (queue, id, body, note, group_id, traceparent, tracestate, sent_at, buried_at, visible_at, receive_count)"
        " VALUES (:queue, :id, :body, :note, :group, :parent, :state, :now, :now, :now, 0)",
        {"queue": queue, "id": message_id, "body": body, "note": note, "group": group, "now": now} | columns_of(trace),
    )


def bury(connection: sqlite3.Connection, seq: int, *, now: float) -> None:
    """Move a message to the dead letters of its queue; its id, group, trace, time of sending and count stay."""
    connection.execute(
        "INSERT INTO dead_letters"
        " (queue, id, body, note, group_id, traceparent, tracestate, sent_at, buried_at, visible_at, receive_count)"
        " SELECT queue, id, body, NULL, group_id, traceparent, tracestate, sent_at, :now, :now, receive_count"
        " FROM messages WHERE seq = :seq",
        {"seq": seq, "now": now},
    )
    connection.execute("DELETE FROM messages WHERE seq = ?", (seq,))


def take(
    connection: sqlite3.Connection, queue: str, *, limit: int, token: str, timeout_s: int, now: float
) -> list[DeadLetter]:
    """Hand out visible dead letters of a queue; those that have been visible the longest come first."""
    # The + lets SQLite walk the index in order until there are enough, and read no body on the way.
    found = connection.execute(
        "SELECT seq FROM dead_letters WHERE queue = :queue AND (+visible_at <= :now OR +visible_at > :latest)"
        " ORDER BY visible_at, seq LIMIT :limit",
        {"queue": queue, **leases.visibility(now), "limit": limit},
    ).fetchall()
    taken: list[DeadLetter] = []
    for (seq,) in found:
        receipt = leases.lease(connection, "dead_letters", seq, token=token, timeout_s=timeout_s, now=now)
        row = connection.execute(
            "SELECT id, body, note, sent_at, receive_count, group_id, traceparent, tracestate"
            " FROM dead_letters WHERE seq = ?",
            (seq,),
        ).fetchone()
        message_id, body, note, sent_at, receive_count, group, parent, state = row
        taken.append(
            DeadLetter(
                message_id,
                receipt,
                body,
                note,
                sent_at,
                receive_count,
                moved=note is None,
                group=group,
                sender=tracecontext.parse(parent, state),
            )
        )
    return taken


def purge(connection: sqlite3.Connection, queue: str) -> None:
    """Remove all dead letters of a queue for good."""
    connection.execute("DELETE FROM dead_letters WHERE queue = ?", (queue,))
