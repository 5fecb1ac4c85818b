"""A claim: a picture, a recipe, a rule, and the checks that the rule was kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

from conformance.programs import TIMEOUT
from support.pictures.leaks import OWN_CHOICES, leaks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from conformance.output import Output
    from conformance.programs import Program


@dataclass(frozen=True, slots=True)
class Check:
    """One check: ``fault`` returns what is wrong with an output, or None."""

    text: str
    fault: Callable[[Output], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One rule, shown on one picture.

    ``recipe`` and ``others`` are options of thumbq's presets, all for the same original in one job; with ``alone`` each
    is made once more in a job of its own, after all of them. ``checks`` look at the outcome. With ``refused`` (thumbq's
    codes) the image must be refused; with both it may be. ``not_made``: which of ``recipe`` and ``others``, by number
    from 0, are not made, and the code of each; all the others are. ``own_choice``: thumbq has chosen so where others
    may choose otherwise, and no other program is asked.
    """

    name: str
    given: str
    make: Callable[[], bytes]
    recipe: Mapping[str, Any]
    others: tuple[Mapping[str, Any], ...] = ()
    alone: bool = False
    rule: str
    reason: str
    checks: tuple[Check, ...] = ()
    refused: frozenset[str] = field(default_factory=frozenset)
    not_made: Mapping[int, str] = field(default_factory=dict)
    own_choice: bool = False

    @property
    def how(self) -> str:
        """How the rule is checked."""
        ways = [check.text for check in self.checks]
        ways += [f"recipe {number} alone is not made, as {code}" for number, code in self.not_made.items()]
        if self.refused:
            ways.append("it is refused as " + " or ".join(sorted(self.refused)))
        return (" or " if self.checks and self.refused else "; ").join(ways)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a claim holds for a program (None: the program cannot be asked), and what it left in its outputs."""

    claim: Claim
    held: bool | None
    why: str = ""
    leaks: tuple[str, ...] = ()


def judge(claim: Claim, program: Program) -> Verdict:
    """Let a program make what a claim is about, and look at what comes out."""
    if claim.own_choice and not program.is_thumbq:
        return Verdict(claim, None, "it is thumbq's own choice")
    if missing := program.cannot(claim):
        return Verdict(claim, None, missing)
    original, recipes = claim.make(), [claim.recipe, *claim.others]
    made = program.make(original, recipes)
    if made.unasked:
        return Verdict(claim, None, made.unasked)
    if made.refused is not None:
        any_code = not program.is_thumbq and made.refused != TIMEOUT
        kept = made.refused in claim.refused or (any_code and claim.refused)
        why = "" if kept else f"refused as {made.refused}: {made.text}"
        return Verdict(claim, not why, why)
    found: list[str] = []
    try:
        first = made.outputs[0]
        again = [program.make(original, [recipe]).outputs for recipe in recipes] if claim.alone else []
        first.others = (*made.outputs[1:], *chain.from_iterable(again))
        if claim.refused and not claim.checks:
            found.append(f"it was not refused; there is a {first.format} of {first.size}")
        if made.not_made != claim.not_made:
            found.append(f"of its recipes those are not made: {dict(made.not_made)}")
        found += [fault for check in claim.checks if (fault := check.fault(first))]
        found += [lie for output in made.outputs for lie in _lies(output)]
        left = {leak for output in made.outputs for leak in leaks(output.body, keep_copyright=_keeps(claim))}
        if not program.is_thumbq:
            left -= OWN_CHOICES
    except (OSError, SyntaxError, ValueError) as error:
        return Verdict(claim, False, f"an output does not open: {type(error).__name__}: {error}")  # noqa: FBT003 -- held
    return Verdict(claim, not found, "; ".join(found), tuple(sorted(left)))


def _keeps(claim: Claim) -> bool:
    return any(recipe.get("keep_copyright") for recipe in (claim.recipe, *claim.others))


def _lies(output: Output) -> list[str]:
    """Compare what a program says about an output with what it is."""
    if (announced := output.announced) is None:
        return []
    pairs = {
        "size": ((announced.width, announced.height), output.size),
        "content type": (announced.content_type, f"image/{output.format.lower()}"),
        "number of frames": (announced.frames, output.frames),
    }
    return [f"its {name} is announced as {one}, and is {real}" for name, (one, real) in pairs.items() if one != real]
