"""What other programs make of the claims: a table in a file, and the page of its sums.

The table has one line per claim: its name, the digest of what it said when it was put to them, and one letter for each
program. A letter holds for that digest only; a claim that says something else by now counts as not asked.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from conformance.claims import Claim, Verdict

HOLDS, FAILS, UNASKED, OWN = "h", "n", "-", "o"
"""It holds, it does not, it could not be asked, it is thumbq's own choice.

The first two are upper-case letters where an output had metadata in it.
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """A program that was asked: its version, the day (ISO 8601), and the formats that it does not read."""

    name: str
    version: str
    date: str
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """The letters of each claim, by its name and digest, and then by the program."""

    programs: tuple[Asked, ...] = ()
    letters: Mapping[tuple[str, str], Mapping[str, str]] = field(default_factory=dict)

    def letter(self, claim: Claim, program: str) -> str:
        if claim.own_choice:
            return OWN
        return self.letters.get((claim.name, digest(claim)), {}).get(program, UNASKED)

    def with_answers(self, asked: Asked, answers: Mapping[str, str], claims: Sequence[Claim]) -> Table:
        """Put a program's letters, by the claims' names, in place of older ones; claims that went are left out."""
        programs = tuple(other for other in self.programs if other.name != asked.name)
        letters = {
            (claim.name, digest(claim)): {program.name: self.letter(claim, program.name) for program in programs}
            | {asked.name: answers.get(claim.name, self.letter(claim, asked.name))}
            for claim in claims
        }
        return Table(tuple(sorted((*programs, asked), key=lambda program: program.name.lower())), letters)


def digest(claim: Claim) -> str:
    """Return 12 hex digits of all that a claim says: words, recipes and checks. Originals are not made for it."""
    said = (
        claim.given,
        claim.rule,
        claim.how,
        claim.alone,
        [sorted(each.items()) for each in (claim.recipe, *claim.others)],
    )
    return hashlib.sha256(repr(said).encode()).hexdigest()[:12]


def letter(verdict: Verdict) -> str:
    if verdict.claim.own_choice:
        return OWN
    if verdict.held is None:
        return UNASKED
    found = HOLDS if verdict.held else FAILS
    return found.upper() if verdict.leaks else found


def read(path: Path) -> Table:
    """Read a table; one that is not there is empty."""
    if not path.exists():
        return Table()
    lines = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    heads = [line[1:] for line in lines if line[0] == "#"]
    programs = tuple(Asked(name, version, date, tuple(lacks.split())) for name, version, date, lacks in heads)
    names = [program.name for program in programs]
    rows = [line for line in lines if line[0] != "#"]
    return Table(programs, {(name, said): dict(zip(names, each, strict=True)) for name, said, *each in rows})


def write(path: Path, table: Table) -> None:
    heads = [("#", each.name, each.version, each.date, " ".join(each.lacks)) for each in table.programs]
    rows = [
        (name, said, *(each[program.name] for program in table.programs))
        for (name, said), each in table.letters.items()
    ]
    path.write_text("".join("\t".join(line) + "\n" for line in [*heads, *rows]), encoding="utf-8")


def page(table: Table, claims: Sequence[Claim]) -> str:
    """Return the Markdown document of the sums."""
    return "\n".join([*_INTRODUCTION, *_programs(table), *_READING, *_sums(table, claims), *_AGAIN]) + "\n"


_INTRODUCTION: Final = """\
# Comparison

thumbq and five other programs, by the same claims.

Each claim is a picture that is made on the spot, a recipe, and a rule that the
result must keep, by a standard or a public bug report. thumbq holds all of
them, or its tests fail. The others are driven by a few lines each, as a team
would write them: upright, in sRGB, no metadata. The lines and the answer to
each claim are in `tests/conformance/peers` of the repository.
""".splitlines()

_READING: Final = """
A claim counts where the program could be asked. It is not asked for an
original of a format that it does not read, for an option that it does not have
(a focal point, an animated AVIF), and for what is thumbq's own choice: formats
that it does not take, what one job may cost, the chroma of outputs, covers of
pictures that are too small, CMYK without a profile as FOGRA39. A resolution or
a profile in an output counts against nobody.

## Sums

"58 of 71" are claims that hold, of those that were asked.
""".splitlines()

_AGAIN: Final = """
## Again

The first command installs the programs, the second puts every claim to them,
and the third writes this page. Claims that were added or changed since then
count as not asked.

```text
bash tests/conformance/peers/setup.sh WORK
python tests/conformance/compare.py ask WORK
python tests/conformance/compare.py page
```""".splitlines()


def _programs(table: Table) -> Iterator[str]:
    yield from ("", "| program | version | asked on | does not read |", "|---|---|---|---|")
    for program in table.programs:
        yield f"| {program.name} | {program.version} | {program.date} | {', '.join(program.lacks) or 'none'} |"


def _sums(table: Table, claims: Sequence[Claim]) -> Iterator[str]:
    names = [program.name for program in table.programs]
    letters = {claim.name: [table.letter(claim, name) for name in names] for claim in claims}
    yield from ("", f"| claims about | thumbq | {' | '.join(names)} |", "|---|" + "---:|" * (1 + len(names)))
    for subject in dict.fromkeys(name.split("/")[0] for name in letters):
        yield _row(subject, [each for name, each in letters.items() if name.startswith(f"{subject}/")], _of_asked)
    every = list(letters.values())
    yield _row("**all**", every, _of_asked)
    yield _row("not asked", every, lambda column: sum(each in {UNASKED, OWN} for each in column))
    yield _row("with metadata in an output", every, lambda column: sum(each.isupper() for each in column))


def _of_asked(column: Sequence[str]) -> str:
    counts = Counter(each.lower() for each in column)
    return f"{counts[HOLDS]} of {counts[HOLDS] + counts[FAILS]}"


def _row(title: str, letters: Sequence[Sequence[str]], text: Callable[[Sequence[str]], object]) -> str:
    """Return a row of the programs' columns, after thumbq's own, which holds all."""
    columns = [[HOLDS] * len(letters), *map(list, zip(*letters, strict=True))]
    return f"| {title} | {' | '.join(str(text(column)) for column in columns)} |"
