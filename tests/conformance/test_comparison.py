from __future__ import annotations

import re
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from conformance import compare, comparison
from conformance.claims import Verdict
from conformance.comparison import Asked, Table
from conformance.subjects import all_claims
from support import documents
from support.documents import COMPARISON, ROOT
from thumbq.core.formats import ImageFormat

if TYPE_CHECKING:
    from pathlib import Path

    from conformance.claims import Claim

# What a first try with Pillow looks like, and its version.
NAIVE = """\
import sys
from PIL import Image
if not sys.argv[1:]:
    sys.exit(print("1.0"))
said = dict(word.split("=", 1) for word in sys.argv[1:])
image = Image.open(said["input"])
image.thumbnail((int(said["width"]), int(said["height"])))
image.convert("RGB").save(said["output"])
"""
CLAIMS = ("orientation/png-1-contain", "orientation/png-6-contain", "sizes/cover-small", "formats/bmp-to-png")


@pytest.fixture(scope="module")
def table() -> Table:
    return comparison.read(compare.ANSWERS)


def claims(*names: str) -> list[Claim]:
    found = {claim.name: claim for claim in all_claims()}
    return [found[name] for name in names]


def test_the_page_is_what_the_answers_and_the_claims_make(table: Table) -> None:
    text = documents.text(COMPARISON)
    assert text == comparison.page(table, all_claims()), "python tests/conformance/compare.py page"
    assert {program.name for program in table.programs} == {peer.name for peer in compare.PEERS}


def test_the_commands_of_the_page_are_there() -> None:
    install, ask, page = documents.example(COMPARISON, "Again", "text").split("\n")[:3]
    words = [line.split() for line in (install, ask, page)]
    assert [line[0] for line in words] == ["bash", "python", "python"]
    assert all((ROOT / line[1]).is_file() for line in words)
    for line in words[1:]:
        with pytest.raises(SystemExit, match=r"^0$"):
            compare.main([line[2], "--help"])


def test_a_program_is_asked_and_its_answers_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "naive.py").write_text(NAIVE)
    command = f"{sys.executable} {{work}}/naive.py"
    peer = compare.Peer("naive", command, "width height", frozenset({ImageFormat.BMP}))
    monkeypatch.setattr(compare, "PEERS", (peer,))
    monkeypatch.setattr(compare, "ANSWERS", tmp_path / "answers.tsv")
    chosen = claims(*CLAIMS)
    assert compare.main(["ask", str(tmp_path), *(word for name in CLAIMS for word in ("--only", name))]) == 0
    assert "orientation/png-6-contain" in capsys.readouterr().out
    found = comparison.read(tmp_path / "answers.tsv")
    assert [(program.name, program.version, program.lacks) for program in found.programs] == [
        ("naive", "1.0", ("BMP",))
    ]
    assert [found.letter(claim, "naive") for claim in chosen] == ["h", "n", "o", "-"]
    page = comparison.page(found, chosen)
    assert re.findall(r"^\| (?:naive|orientation|\*\*all\*\*|not asked) \|.*", page, re.MULTILINE) == [
        f"| naive | 1.0 | {found.programs[0].date} | BMP |",
        "| orientation | 2 of 2 | 1 of 2 |",
        "| **all** | 4 of 4 | 1 of 2 |",
        "| not asked | 0 | 2 |",
    ]


def test_what_a_claim_no_longer_says_was_not_asked(tmp_path: Path) -> None:
    one, other = claims("orientation/png-1-contain", "orientation/png-6-contain")
    first, second = Asked("first", "1", "2026-01-01"), Asked("second", "2", "2026-01-02", ("BMP", "HEIF"))
    found = Table().with_answers(first, {one.name: "h", other.name: "N"}, [one, other])
    changed = replace(other, recipe={**other.recipe, "quality": 81})
    assert [found.letter(claim, "first") for claim in (one, other, changed)] == ["h", "N", "-"]
    found = found.with_answers(second, {changed.name: "h"}, [one, changed])
    assert [found.letter(claim, name) for claim in (one, changed) for name in ("first", "second")] == [*"h--h"]
    comparison.write(tmp_path / "answers.tsv", found)
    assert comparison.read(tmp_path / "answers.tsv") == found
    assert comparison.digest(one) != comparison.digest(replace(one, rule="another"))


def test_a_letter_says_what_a_verdict_says() -> None:
    asked, own = claims("orientation/png-1-contain", "sizes/cover-small")
    held = (Verdict(asked, True), Verdict(asked, False), Verdict(asked, None), Verdict(own, None))  # noqa: FBT003 -- held
    assert [comparison.letter(verdict) for verdict in held] == [*"hn-o"]
    assert comparison.letter(Verdict(asked, True, leaks=("segment 0xe1",))) == "H"  # noqa: FBT003 -- held
