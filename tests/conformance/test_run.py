from __future__ import annotations

import json
import signal
import struct
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from conformance import pictures, run
from conformance.claims import judge
from conformance.output import Output
from conformance.programs import Command, Made, presets
from conformance.run import main
from conformance.subjects import all_claims
from support.pictures import images
from support.pictures.containers import png_with
from support.pictures.leaks import leaks
from thumbq.core.formats import ImageFormat
from thumbq.imaging import Limits
from thumbq.imaging.render import render
from thumbq.ports import Rendered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from conformance.claims import Claim
    from conformance.programs import Thumbq

# What a first try with Pillow looks like: it knows nothing of orientation, flattening, or which part to keep.
NAIVE = """\
import sys
from PIL import Image
source, target, width, height = sys.argv[1:]
image = Image.open(source)
image.thumbnail((int(width), int(height)))
image.convert("RGB").save(target)
"""


@pytest.fixture
def naive(tmp_path: Path) -> str:
    script = tmp_path / "naive.py"
    script.write_text(NAIVE)
    return f"{sys.executable} {script} {{input}} {{output}} {{width}} {{height}}"


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = main([*arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_what_is_thumbqs_own_choice_is_not_put_to_another_program(
    naive: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _, found = run_json(capsys, "--command", naive, "--only", "sizes/cover-small", "--only", "sizes/wide")
    asked = {claim["name"]: (claim["own_choice"], claim["why"]) for claim in found["claims"]}
    assert asked.pop("sizes/wide") == (False, "")
    assert set(asked.values()) == {(True, "it is thumbq's own choice")}


def test_another_program_is_held_against_the_same_claims(naive: str, capsys: pytest.CaptureFixture[str]) -> None:
    claims = ("orientation/png-1-contain", "orientation/png-6-contain", "orientation/png-1-fill", "formats/not-text-b")
    code, found = run_json(capsys, "--command", naive, *(word for name in claims for word in ("--only", name)))
    held = {claim["name"]: claim["held"] for claim in found["claims"]}
    assert held == {
        "orientation/png-1-contain": True,
        "orientation/png-6-contain": False,
        "orientation/png-1-fill": None,
        "formats/not-text-beginning-BM": True,
    }
    assert found["totals"]["all"] == {"holds": 2, "DOES NOT HOLD": 1, "not asked": 1, "leaks": 0}
    assert code == 1


def test_a_program_that_never_ends_has_not_refused(capsys: pytest.CaptureFixture[str]) -> None:
    (claim,) = (claim for claim in all_claims() if claim.name == "formats/not-empty")
    verdict = judge(claim, Command(f"{sys.executable} -Sc 'while True: pass' {{width}} {{height}}", timeout_s=0.3))
    assert (verdict.held, verdict.why) == (False, "refused as timeout: it ran for more than 0.3 s")
    assert main(["--only", "there is no such claim"]) == 2
    assert capsys.readouterr().err == "there is no such claim\n"


def test_a_program_is_told_every_option_that_its_template_has_and_may_say_that_it_cannot_be_asked() -> None:
    script = "import sys; sys.stderr.write(' '.join(sys.argv[1:])); sys.exit(77 if sys.argv[1] == '[true]' else 1)"
    words = "[{animated}] [{lossless}] [{width}] [{height}] [{fit}] [{focal_point}] [{format}]"
    program = Command(f'{sys.executable} -Sc "{script}" {words}')
    names = {"animation/resized-fill", "sizes/cover-focal-point-0.1-wide"}
    verdicts = {claim.name: judge(claim, program) for claim in all_claims() if claim.name in names}
    assert {name: (verdict.held, verdict.why) for name, verdict in verdicts.items()} == {
        "animation/resized-fill": (None, "it cannot be asked: [true] [] [30] [30] [fill] [] [png]"),
        "sizes/cover-focal-point-0.1-wide": (
            False,
            "refused as refused: exit code 1: [] [] [50] [50] [cover] [0.1,0.5] [png]",
        ),
    }


class Leaving:
    """A program of which every output is the same."""

    is_thumbq = False

    def __init__(self, body: bytes) -> None:
        self._body = body

    def cannot(self, claim: Claim) -> str:  # noqa: ARG002 -- it tries all
        return ""

    def make(self, original: bytes, recipes: Sequence[Mapping[str, Any]]) -> Made:  # noqa: ARG002 -- whatever it is
        return Made(tuple(Output(self._body) for _ in recipes))


def test_what_thumbq_leaves_out_by_its_own_choice_is_no_fault_of_another() -> None:
    (claim,) = (claim for claim in all_claims() if claim.name == "privacy/png-private-chunk")
    scene = pictures.in_format("PNG")
    allowed = [(b"pHYs", bytes(9)), (b"gAMA", struct.pack(">I", 45_455))]
    verdict = judge(claim, Leaving(png_with(scene, *allowed)))
    assert (verdict.held, verdict.leaks) == (True, ())
    verdict = judge(claim, Leaving(png_with(scene, *allowed, (b"tIME", bytes(7)))))
    assert (verdict.why, verdict.leaks) == ("it holds PNG chunk b'tIME'", ("PNG chunk b'tIME'",))
    dotted = images.encoded(images.scene(96, 64), "JPEG", dpi=(72, 72), icc_profile=images.display_p3_profile())
    assert set(leaks(dotted)) == {"a resolution", "a colour profile"}


def test_what_a_program_does_not_read_is_not_put_to_it() -> None:
    (claim,) = (claim for claim in all_claims() if claim.name == "formats/heic-to-png")
    verdict = judge(claim, Command("false {width} {height}", lacks={ImageFormat.HEIF}))
    assert (verdict.held, verdict.why) == (None, "it does not read HEIF")
    assert judge(claim, Command("false {width} {height}")).held is False


def test_a_preset_that_is_not_made_is_to_be_named(thumbq: Thumbq) -> None:
    (claim,) = (claim for claim in all_claims() if claim.name == "encoders/budget-huge-jpeg-after-cheap-ones")
    silent = judge(replace(claim, not_made={}), thumbq)
    assert (silent.held, silent.why) == (False, "of its recipes those are not made: {2: 'too-large'}")


def test_the_list_says_what_is_claimed_and_how_it_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list", "--only", "colour/xyb-jpeg"]) == 0
    listed = capsys.readouterr().out
    for word in ("given ", "recipe ", "rule ", "checks ", "reason ", "google/jpegli"):
        assert word in listed


def test_it_ends_without_a_word_when_nobody_reads_on() -> None:
    argv = [sys.executable, run.__file__, "--list"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        assert program.stdout is not None
        program.stdout.close()
        assert program.stderr is not None
        assert program.stderr.read() == b""
    assert program.returncode == 128 + signal.SIGPIPE


class Careless:
    """A program that knows no effort, and makes each rendition of a job from the one before."""

    is_thumbq = True

    def cannot(self, claim: Claim) -> str:  # noqa: ARG002 -- it tries all
        return ""

    def make(self, original: bytes, recipes: Sequence[Mapping[str, Any]]) -> Made:
        outputs: list[Output] = []
        for recipe in recipes:
            (preset,) = presets([{name: value for name, value in recipe.items() if name != "effort"}])
            made = render(outputs[-1].body if outputs else original, [preset], Limits())
            assert isinstance(made, Rendered)
            outputs.append(Output(made.images[0].body))
        return Made(tuple(outputs))


def test_a_program_that_ignores_effort_or_lets_renditions_disturb_each_other_is_found_out() -> None:
    about = ("encoders/effort-", "encoders/shared-decode-")
    verdicts = [judge(claim, Careless()) for claim in all_claims() if claim.name.startswith(about)]
    assert len(verdicts) == 5
    assert [verdict.claim.name for verdict in verdicts if verdict.held] == []


def test_there_are_enough_claims_and_each_has_a_name_of_its_own() -> None:
    claims = all_claims()
    besides = [claim for claim in claims if not _is_one_of_the_144(claim)]
    assert len({claim.name for claim in claims}) == len(claims)
    assert len(claims) - len(besides) == 144
    assert len(besides) >= 150
    assert all(claim.checks or claim.refused for claim in claims)


def _is_one_of_the_144(claim: Claim) -> bool:
    return claim.name.startswith("orientation/") and claim.name.endswith(("-contain", "-cover", "-fill"))


def test_no_claim_holds_for_a_picture_that_has_nothing_to_do_with_it() -> None:
    noise = images.jpeg(images.scene(77, 55).rotate(20), exif=images.exif(1))
    fooled = []
    for claim in all_claims():
        output = Output(noise, others=tuple(Output(noise) for _ in claim.others))
        if not claim.refused and not any(check.fault(output) for check in claim.checks):
            fooled.append(claim.name)
    assert fooled == []
