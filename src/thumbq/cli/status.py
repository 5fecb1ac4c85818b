"""`thumbq status`."""

from __future__ import annotations

import shutil
import sys
from contextlib import aclosing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from thumbq.cli.console import Command, config_option, load_settings, local_option, run, say
from thumbq.cli.text import json_line, printable
from thumbq.errors import Problem, SetupError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from thumbq.commands.status import QueueStatus, Status

_CLEARED: Final = "\033[H\033[J"  # ECMA-48: cursor to the first place, erase to the end of the screen
_MINUTE_S: Final = 60
_GAP: Final = 2
"""What is between numbers and their bars."""


@click.command(cls=Command)
@local_option
@click.option("--watch", is_flag=True, help="Look again and again, until Ctrl-C.")
@click.option("--every", type=click.FloatRange(min=0.5), default=5, show_default=True, metavar="SECONDS")
@click.option("--url", help="Ask this replica, too, such as http://127.0.0.1:8080.")
@click.option("--token-file", metavar="FILE", help="File whose first line is a token for it; - is standard input.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, a line a look.")
@config_option
def status(
    local: str | None,
    every: float,
    url: str | None,
    token_file: str | None,
    config: str | None,
    *,
    watch: bool,
    as_json: bool,
) -> None:
    """Show how many messages each queue has, how fast that changes, and what a replica says of itself.

    SQS's numbers are approximate.

    \b
    Examples:
      thumbq status --watch
      thumbq status --local ./thumbq-data --url http://127.0.0.1:8080
    """  # noqa: D301 - \b is click's mark for a paragraph that is not rewrapped
    settings = load_settings(default_level="error", local=local, config=config)
    from thumbq.commands.status import Replica, statuses  # noqa: PLC0415 - aiohttp is slow to import
    from thumbq.process import SystemClock  # noqa: PLC0415 - the same

    replica = None if url is None else Replica(url, _token(token_file))
    cleared = watch and not as_json and sys.stdout.isatty()

    async def show() -> bool:
        printed = True
        async with aclosing(statuses(settings, replica, clock=SystemClock(), every_s=every)) as looks:
            async for look in looks:
                columns = shutil.get_terminal_size().columns
                text = json_line(asdict(look)) if as_json else "\n".join(lines(look, columns))
                printed = say(f"{_CLEARED if cleared else ''}{text}")
                if not (watch and printed):
                    break
        return printed

    sys.exit(0 if run(show) else 1)


def _token(file: str | None) -> str | None:
    if file is None:
        return None
    try:
        text = sys.stdin.readline() if file == "-" else Path(file).read_text(encoding="utf-8").partition("\n")[0]
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError([Problem(f"cannot read {file}: {error}", "name a file with a token in it")]) from error
    return text.strip()


def lines(look: Status, columns: int) -> Iterator[str]:
    """Yield the lines of a table of the queues, and what the replica says; bars take what is left of the columns."""
    width = max((len(queue.name) for queue in look.queues), default=0)
    if look.queues:
        yield f"{'queue':<{max(width, 5)}} {'waiting':>9} {'in flight':>9} {'delayed':>9} {'dead':>9} {'change/s':>9}"
    for queue in look.queues:
        numbers = f"{printable(queue.name):<{max(width, 5)}} {_numbers(queue)}"
        backlog = () if queue.counts is None else queue.backlog
        yield f"{numbers}  {_latest(backlog, columns - len(numbers) - _GAP)}".rstrip()
    if look.replica is not None:
        yield from _of_replica(look.replica, columns)


def _latest(backlog: Sequence[int], room: int) -> str:
    from thumbq.commands.status import sparkline  # noqa: PLC0415 - it is loaded by now

    return sparkline(backlog[-room:]) if room > 0 else ""


def _numbers(queue: QueueStatus) -> str:
    if queue.counts is None:
        return "does not answer"
    counts = queue.counts
    change = "-" if queue.change_per_s is None else f"{queue.change_per_s:+.1f}"
    numbers = (counts.visible, counts.in_flight, counts.delayed, counts.dead, change)
    return " ".join(f"{number:>9}" for number in numbers)


def _of_replica(replica: Any, columns: int) -> Iterator[str]:
    ready = replica.get("/readyz", {})
    parts = ready if "error" in ready or "status" not in ready else {"ready": ready["status"], **_parts(ready)}
    yield f"{printable(replica['url'])}: " + ", ".join(f"{name} {printable(str(what))}" for name, what in parts.items())
    queues = replica.get("/queues", {})
    why = queues.get("error") or queues.get("detail")
    if why is not None and "error" not in ready:
        yield f"  queues: {printable(str(why))}"
    for queue in queues.get("data", {}).get("queues", []):
        start = f"  {printable(queue['name'])}: {'paused, ' if queue.get('paused') else ''}"
        yield _ended(start, queue["series"], columns)


def _parts(ready: Any) -> dict[str, Any]:
    """Return what else /readyz says: of a problem its detail, else the state of store and queue."""
    if "detail" in ready:
        return {"detail": ready["detail"]}
    return {name: what for name, what in ready.items() if name != "status"}


def _ended(start: str, series: Any, columns: int) -> str:
    """Return what has ended on a replica: per minute over the last whole steps, and bars of the last hour."""
    from thumbq.commands.status import sparkline, squeezed  # noqa: PLC0415 - it is loaded by now

    def per_minute(numbers: Sequence[int]) -> str:
        steps = numbers[-max(1, _MINUTE_S // series["step_s"]) - 1 : -1] or numbers
        return f"{sum(steps) * _MINUTE_S / (len(steps) * series['step_s']):.1f}"

    done, failed = per_minute(series["done"]), per_minute(series["failed"])
    numbers = f"{start}done {done}, failed {failed} a minute"
    room = columns - len(numbers) - _GAP
    return f"{numbers}  {sparkline(squeezed(series['done'], room)) if room > 0 else ''}".rstrip()
