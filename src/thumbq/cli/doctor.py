"""`thumbq doctor`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from thumbq.cli.console import Command, config_option, load_settings_with_places, local_option, run, say
from thumbq.cli.text import json_line, printable

if TYPE_CHECKING:
    from thumbq.commands.doctor import Examined


@click.command(cls=Command)
@local_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@config_option
def doctor(local: str | None, config: str | None, *, as_json: bool) -> None:
    """Look at settings, rights, bucket, queues and this machine, and say what is wrong and what mends it.

    Nothing is changed: what is tried by doing it is undone. Exits with 0 when there is nothing to mend, 1 with
    findings, 2 when something could not be looked at.

    \b
    Examples:
      thumbq doctor
      thumbq doctor --json --local ./thumbq-data
    """  # noqa: D301 - \b is click's mark for a paragraph that is not rewrapped
    settings, places = load_settings_with_places(default_level="error", local=local, config=config)
    from thumbq.commands.doctor import examine  # noqa: PLC0415 - structlog and pydantic are slow to import
    from thumbq.process import SystemClock  # noqa: PLC0415 - the same

    examined = run(partial(examine, settings, places, clock=SystemClock()))
    printed = say(_document(examined) if as_json else _text(examined))
    sys.exit(examined.exit_code if printed else 1)


def _document(examined: Examined) -> str:
    return json_line(
        {
            "settings": [asdict(value) for value in examined.settings],
            "findings": [asdict(each) | {"level": each.level.value} for each in examined.findings],
        }
    )


def _text(examined: Examined) -> str:
    lines = [f"{value.name} = {_short(value.value)}  ({value.source})" for value in examined.settings]
    for each in examined.findings:
        lines += ["", f"{each.level.value}: {each.what}", f"  why: {each.why}", f"  do:  {each.fix}"]
    lines += ["", "nothing to mend" if examined.exit_code == 0 else f"{_count(examined)} to mend"]
    return "\n".join(map(printable, lines))


def _short(value: Any) -> str:
    """Return a value on one line: of tables by name, as presets, the names."""
    tables = isinstance(value, dict) and all(isinstance(each, dict) for each in value.values())
    return json.dumps(list(value) if tables else value, ensure_ascii=False)


def _count(examined: Examined) -> int:
    return sum(each.level.value != "note" for each in examined.findings)
