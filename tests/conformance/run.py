# ruff: noqa: T201 -- what it prints is what it is for
"""All claims, held against thumbq or against another program.

``python tests/conformance/run.py`` asks thumbq; with ``--command 'magick {input} -auto-orient -resize {width}x{height}
{output}'`` it asks that program, once for every output. What a template cannot say is not asked, nor
is a command that says so by its exit code, 77. Metadata that another program leaves in its outputs is counted apart, so
that one fault does not count hundreds of times.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from conformance.claims import judge
from conformance.programs import Command, Thumbq
from conformance.subjects import all_claims

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conformance.claims import Claim, Verdict

_WORDS: Final = {True: "holds", False: "DOES NOT HOLD", None: "not asked"}
_WIDTH: Final = 160


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the arguments say; 1 when a claim does not hold, 2 when there is none of that name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--command", metavar="TEMPLATE", help="another program than thumbq")
    parser.add_argument("--only", metavar="NAME", action="append", help="claims whose name begins so; may be repeated")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--list", action="store_true", help="print what is claimed, and ask nobody")
    options = parser.parse_args(arguments)
    chosen = [claim for claim in all_claims() if claim.name.startswith(tuple(options.only or [""]))]
    if not chosen:
        print("there is no such claim", file=sys.stderr)
        return 2
    if options.list:
        _print_claims(chosen)
        return 0
    with nullcontext(Command(options.command)) if options.command else Thumbq() as program:
        verdicts = []
        for claim in chosen:
            verdicts.append(judge(claim, program))
            if not options.json:
                _print_verdict(verdicts[-1])
    totals = _totals(verdicts)
    if options.json:
        print(json.dumps({"totals": totals, "claims": [_as_json(verdict) for verdict in verdicts]}, indent=1))
    else:
        _print_totals(totals)
    return int(any(verdict.held is False for verdict in verdicts))


def _print_claims(claims: Sequence[Claim]) -> None:
    for claim in claims:
        print(f"{claim.name}\n  given  {claim.given}\n  recipe {dict(claim.recipe)}")
        for other in claim.others:
            print(f"     and {dict(other)}")
        own = " (own choice)" if claim.own_choice else ""
        print(f"  rule   {claim.rule}{own}\n  checks {claim.how}\n  reason {claim.reason}")


def _print_verdict(verdict: Verdict) -> None:
    left = f" [leaks: {', '.join(verdict.leaks)}]" if verdict.leaks else ""
    why = " ".join((verdict.why + left).split())
    print(f"{_WORDS[verdict.held]:13} {verdict.claim.name:52} {why}"[:_WIDTH].rstrip())


def _as_json(verdict: Verdict) -> dict[str, Any]:
    claim = verdict.claim
    return {
        "name": claim.name,
        "held": verdict.held,
        "own_choice": claim.own_choice,
        "why": verdict.why,
        "leaks": verdict.leaks,
        "given": claim.given,
        "rule": claim.rule,
        "checks": claim.how,
        "reason": claim.reason,
    }


def _totals(verdicts: Sequence[Verdict]) -> dict[str, dict[str, int]]:
    """Count by subject, and all."""
    counts: dict[str, Counter[str]] = {}
    for verdict in verdicts:
        for subject in (verdict.claim.name.split("/")[0], "all"):
            counted = counts.setdefault(subject, Counter())
            counted[_WORDS[verdict.held]] += 1
            counted["leaks"] += bool(verdict.leaks)
    # The sum of all comes last.
    counts["all"] = counts.pop("all")
    words = (*_WORDS.values(), "leaks")
    return {subject: {word: counted[word] for word in words} for subject, counted in counts.items()}


def _print_totals(totals: dict[str, dict[str, int]]) -> None:
    print(f"\n{'':14}" + "".join(f"{word:>15}" for word in totals["all"]))
    for subject, counted in totals.items():
        print(f"{subject:14}" + "".join(f"{count:15}" for count in counted.values()))


def _run_until_unread() -> int:
    """Run ``main`` until nobody reads what it prints any more."""
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes once more as it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    return code


if __name__ == "__main__":
    sys.exit(_run_until_unread())
