"""The queue's rules, as plain functions over a connection with the time as an argument.

Times are POSIX seconds of the machine's clock, which all processes on a directory share. A message is visible when
its time has come. It is also visible when its time lies further ahead than any time-out can reach: then the clock
was set back, and nobody holds the message for 12 hours more than they asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from thumbq.ports import EntryResult, QueueCounts, ReceivedMessage

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

MAX_RECEIVE_S: Final = 12 * 3600
"""How long one receive can hold a message, extensions included; SQS has the same limit."""


def _at(now: float) -> dict[str, object]:
    """Return what the conditions on visibility below are told: ``latest`` is as far as a time-out can reach."""
    return {"now": now, "latest": now + MAX_RECEIVE_S}


def send(connection: sqlite3.Connection, *, message_id: str, body: str, now: float) -> None:
    """Append a message."""
    connection.execute(
        "INSERT INTO messages (id, body, sent_at, visible_at) VALUES (:id, :body, :now, :now)",
        {"id": message_id, "body": body, "now": now},
    )


def any_visible(connection: sqlite3.Connection, *, now: float) -> bool:
    """Whether a receive would find something."""
    found = connection.execute(
        "SELECT 1 FROM messages WHERE visible_at <= :now OR visible_at > :latest LIMIT 1", _at(now)
    )
    return found.fetchone() is not None


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
        row = connection.execute(oldest, {"last": last, **_at(now)}).fetchone()
        if row is None:
            break
        last, message_id, body, receive_count, sent_at = row
        if receive_count >= max_receive_count:
            _bury(connection, last, now)
            continue
        receipt = f"{last}:{token}"
        connection.execute(
            "UPDATE messages SET visible_at = ?, received_at = ?, receipt = ?, receive_count = receive_count + 1"
            " WHERE seq = ?",
            (now + timeout_s, now, receipt, last),
        )
        taken.append(ReceivedMessage(message_id, receipt, body, receive_count + 1, sent_at))
    return taken


def give_back(connection: sqlite3.Connection, receipts: Iterable[str], *, now: float) -> None:
    """Undo a receive that nobody saw: the messages are visible again, and it does not count."""
    for receipt in receipts:
        connection.execute(
            "UPDATE messages SET visible_at = :now, receipt = NULL, receive_count = receive_count - 1"
            " WHERE seq = :seq AND receipt = :receipt",
            {"seq": _seq(receipt), "receipt": receipt, "now": now},
        )


def extend(connection: sqlite3.Connection, *, receipt: str, timeout_s: int, now: float) -> EntryResult:
    """Hide a held message for ``timeout_s`` from now. A hold that has run out is lost, taken by another or not."""
    row = connection.execute(
        "SELECT seq, received_at FROM messages"
        " WHERE seq = :seq AND receipt = :receipt AND visible_at > :now AND visible_at <= :latest",
        {"seq": _seq(receipt), "receipt": receipt, **_at(now)},
    ).fetchone()
    if row is None:
        return EntryResult.LOST
    seq, received_at = row
    if max(now - received_at, 0.0) + timeout_s > MAX_RECEIVE_S:
        return EntryResult.CAPPED
    connection.execute("UPDATE messages SET visible_at = ? WHERE seq = ?", (now + timeout_s, seq))
    return EntryResult.OK


def delete(connection: sqlite3.Connection, *, receipt: str) -> EntryResult:
    """Remove the message of a receipt for good.

    As on SQS, a receipt that has run out still deletes as long as nobody else took the message (its work is done),
    and deleting what is gone is no error, so that a delete can be sent again.
    """
    seq = _seq(receipt)
    row = connection.execute("SELECT receipt FROM messages WHERE seq = ?", (seq,)).fetchone()
    if seq is None or (row is not None and row[0] != receipt):
        return EntryResult.LOST
    connection.execute("DELETE FROM messages WHERE seq = ?", (seq,))
    return EntryResult.OK


def send_dead_letter(connection: sqlite3.Connection, *, message_id: str, body: str, note: str, now: float) -> None:
    """Append a dead letter with its note."""
    connection.execute(
        "INSERT INTO dead_letters (id, body, note, sent_at, buried_at, receive_count)"
        " VALUES (:id, :body, :note, :now, :now, 0)",
        {"id": message_id, "body": body, "note": note, "now": now},
    )


def counts(connection: sqlite3.Connection, *, now: float) -> QueueCounts:
    """Count the messages; none is ever delayed, for there is no sending with a delay here."""
    total, visible, dead = connection.execute(
        "SELECT count(*), coalesce(sum(visible_at <= :now OR visible_at > :latest), 0),"
        " (SELECT count(*) FROM dead_letters) FROM messages",
        _at(now),
    ).fetchone()
    return QueueCounts(visible=visible, in_flight=total - visible, delayed=0, dead=dead)


def _bury(connection: sqlite3.Connection, seq: int, now: float) -> None:
    connection.execute(
        "INSERT INTO dead_letters (id, body, note, sent_at, buried_at, receive_count)"
        " SELECT id, body, NULL, sent_at, ?, receive_count FROM messages WHERE seq = ?",
        (now, seq),
    )
    connection.execute("DELETE FROM messages WHERE seq = ?", (seq,))


def _seq(receipt: str) -> int | None:
    number = receipt.partition(":")[0]
    return int(number) if number.isdecimal() else None
