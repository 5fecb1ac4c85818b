# ruff: noqa: T201 -- what it prints is what it is for
"""Puts the claims to other programs, and writes the page about it.

``bash tests/conformance/peers/setup.sh WORK`` installs them; ``compare.py ask WORK`` puts every claim to them, which
takes some minutes for each, and keeps their answers in ``peers/answers.tsv``; ``compare.py page`` writes the page.
"""

from __future__ import annotations

import argparse
import datetime as dt
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from conformance import comparison
from conformance.claims import judge
from conformance.programs import Command
from conformance.subjects import all_claims
from support.documents import COMPARISON, ROOT
from thumbq.core.formats import ImageFormat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conformance.claims import Claim

_FOLDER: Final = Path(__file__).parent / "peers"
ANSWERS: Final = _FOLDER / "answers.tsv"
_NAMES: Final = {ImageFormat.HEIF: "HEIC"}
_EVERY: Final = "width height fit quality background enlarge"


@dataclass(frozen=True, slots=True)
class Peer:
    """A command (without arguments it prints its version), and what it can be asked.

    ``options`` are those of a preset that it knows, and ``lacks`` the formats that it does not read.
    """

    name: str
    command: str
    options: str
    lacks: frozenset[ImageFormat] = frozenset()

    def words(self, work: Path) -> str:
        return self.command.format(work=shlex.quote(str(work)), peers=shlex.quote(str(_FOLDER)))

    def ask(self, work: Path, claims: Sequence[Claim]) -> tuple[comparison.Asked, dict[str, str]]:
        """Return what it is, and its letter for each claim."""
        said = subprocess.run(shlex.split(self.words(work)), capture_output=True, text=True, check=True)
        today = dt.datetime.now(dt.UTC).date().isoformat()
        placeholders = " ".join(f"{option}={{{option}}}" for option in ("input", "output", *self.options.split()))
        program = Command(
            f"{self.words(work)} {placeholders} profile={shlex.quote(str(work / 'srgb.icc'))}",
            lacks=self.lacks,
            timeout_s=_TIMEOUT_S,
        )
        asked = comparison.Asked(
            self.name, said.stdout.strip(), today, tuple(sorted(_NAMES.get(each, each.name) for each in self.lacks))
        )
        answers = {}
        for claim in claims:
            verdict = judge(claim, program)
            answers[claim.name] = comparison.letter(verdict)
            why = " ".join([verdict.why, *verdict.leaks]).split()
            print(f"{answers[claim.name]} {self.name:12} {claim.name:52} {' '.join(why)}"[:200], flush=True)
        return asked, answers


_NODE: Final = "env NODE_PATH={work}/node/node_modules node"
_TIMEOUT_S: Final = 300
_ANIMATIONS: Final = f"{_EVERY} gravity progressive lossless animated"
PEERS: Final = (
    Peer("ImageMagick", f"{_NODE} --liftoff-only {{peers}}/imagemagick.cjs", _ANIMATIONS),
    Peer(
        "libvips",
        "{work}/libvips/bin/python {peers}/libvips_thumbnail.py",
        f"{_EVERY} progressive lossless animated",
        frozenset({ImageFormat.BMP, ImageFormat.HEIF}),
    ),
    Peer("Pillow", "{work}/pillow/bin/python {peers}/pillow_by_hand.py", _ANIMATIONS),
    Peer("sharp", f"{_NODE} {{peers}}/sharp.cjs", _ANIMATIONS, frozenset({ImageFormat.BMP, ImageFormat.HEIF})),
    Peer("Thumbor", "{work}/thumbor/bin/python {peers}/thumbor_once.py", f"{_EVERY} gravity progressive"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    asking = commands.add_parser("ask", help="put the claims to the programs")
    asking.add_argument("work", type=Path, help="where setup.sh has installed them")
    asking.add_argument("--peer", action="append", choices=[peer.name for peer in PEERS], help="may be repeated")
    asking.add_argument("--only", metavar="NAME", action="append", help="claims whose name begins so; may be repeated")
    commands.add_parser("page", help="write the page of the answers")
    options = parser.parse_args(arguments)
    if options.command == "page":
        (ROOT / COMPARISON).write_text(comparison.page(comparison.read(ANSWERS), all_claims()), encoding="utf-8")
        return 0
    chosen = [claim for claim in all_claims() if claim.name.startswith(tuple(options.only or [""]))]
    for peer in PEERS:
        if peer.name in (options.peer or [peer.name]):
            asked, answers = peer.ask(options.work.absolute(), chosen)
            comparison.write(ANSWERS, comparison.read(ANSWERS).with_answers(asked, answers, all_claims()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
