"""Leases on received rows: on messages and on dead letters.

Times are POSIX seconds of the machine's clock, which all processes on a directory share. A row is visible when its
time has come. It is also visible when its time lies further ahead than any time-out can reach: then the clock was set
back, and no lease lasts 12 hours longer than asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from thumbq.ports import MAX_LEASE_S, EntryResult

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from thumbq.ports import VisibilityChange

    Table = Literal["messages", "dead_letters"]


def visibility(now: float) -> dict[str, object]:
    """Return the parameters of the conditions on visibility; ``latest`` is as far as a time-out can reach."""
    return {"now": now, "latest": now + MAX_LEASE_S}


def any_visible(connection: sqlite3.Connection, table: Table, *, queue: str, now: float) -> bool:
    """Whether any row of a queue is visible."""
    found = connection.execute(
        f"SELECT 1 FROM {table} WHERE queue = :queue AND (visible_at <= :now OR visible_at > :latest) LIMIT 1",  # noqa: S608 - a Table
        {"queue": queue, **visibility(now)},
    )
    return found.fetchone() is not None


def lease(connection: sqlite3.Connection, table: Table, seq: int, *, token: str, timeout_s: int, now: float) -> str:
    """Hand a row out and return its receipt; ``token`` is unique to this receive."""
    receipt = f"{seq}:{token}"
    connection.execute(
        f"UPDATE {table} SET visible_at = ?, received_at = ?, receipt = ?, receive_count = receive_count + 1"  # noqa: S608 - a Table
        " WHERE seq = ?",
        (now + timeout_s, now, receipt, seq),
    )
    return receipt


def undo_receive(connection: sqlite3.Connection, table: Table, receipts: Iterable[str], *, now: float) -> None:
    """Undo a receive whose caller was cancelled: the rows are visible again, and the receive does not count."""
    for receipt in receipts:
        connection.execute(
            f"UPDATE {table} SET visible_at = :now, receipt = NULL, receive_count = receive_count - 1"  # noqa: S608 - a Table
            " WHERE seq = :seq AND receipt = :receipt",
            {"seq": _seq(receipt), "receipt": receipt, "now": now},
        )


def extend(connection: sqlite3.Connection, table: Table, *, receipt: str, timeout_s: int, now: float) -> EntryResult:
    """Hide a leased row for ``timeout_s`` from now. A lease that has run out is lost, also when nobody took the row."""
    row = connection.execute(
        f"SELECT seq, received_at FROM {table}"  # noqa: S608 - a Table
        " WHERE seq = :seq AND receipt = :receipt AND visible_at > :now AND visible_at <= :latest",
        {"seq": _seq(receipt), "receipt": receipt, **visibility(now)},
    ).fetchone()
    if row is None:
        return EntryResult.LOST
    seq, received_at = row
    if max(now - received_at, 0.0) + timeout_s > MAX_LEASE_S:
        return EntryResult.CAPPED
    connection.execute(f"UPDATE {table} SET visible_at = ? WHERE seq = ?", (now + timeout_s, seq))  # noqa: S608 - a Table
    return EntryResult.OK


def extend_each(
    connection: sqlite3.Connection, table: Table, changes: Iterable[VisibilityChange], *, now: float
) -> list[EntryResult]:
    """Extend several leases, all from the same moment."""
    return [
        extend(connection, table, receipt=change.receipt, timeout_s=change.timeout_s, now=now) for change in changes
    ]


def delete(connection: sqlite3.Connection, table: Table, *, receipt: str) -> EntryResult:
    """Remove the row of a receipt for good.

    As on SQS, a receipt that has run out still deletes as long as nobody else took the row (its work is done), and
    deleting a row that is gone is no error, so that a delete can be sent again.
    """
    seq = _seq(receipt)
    row = connection.execute(f"SELECT receipt FROM {table} WHERE seq = ?", (seq,)).fetchone()  # noqa: S608 - a Table
    if seq is None or (row is not None and row[0] != receipt):
        return EntryResult.LOST
    connection.execute(f"DELETE FROM {table} WHERE seq = ?", (seq,))  # noqa: S608 - a Table
    return EntryResult.OK


def _seq(receipt: str) -> int | None:
    number = receipt.partition(":")[0]
    return int(number) if number.isdecimal() else None
