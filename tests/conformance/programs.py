"""The programs that claims are held against: thumbq's own pool, or any command that makes one file of another."""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from anyio.from_thread import start_blocking_portal

from conformance.output import Output
from thumbq.core.formats import EXTENSIONS, sniff
from thumbq.core.preset import Preset
from thumbq.core.units import MIB
from thumbq.errors import RenderKilled, RenderRefused
from thumbq.imaging import Limits
from thumbq.pool import PoolConfig
from thumbq.pool.renderpool import RenderPool

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from anyio.from_thread import BlockingPortal

    from conformance.claims import Claim
    from thumbq.core.formats import ImageFormat
    from thumbq.ports import Rendered

_TIMEOUT_S: Final = 20
_OPTIONS: Final = {name: known.default for name, known in Preset.model_fields.items() if name not in {"name", "key"}}
"""The options with a placeholder, and the value that needs none."""
_UNASKED: Final = 77
"""The exit code of a command that cannot be asked for this; that of a skipped test, as Automake has it."""

TIMEOUT: Final = "timeout"
"""The code of a program that did not come to an end."""


@dataclass(frozen=True, slots=True)
class Made:
    """What a program made of one original, in the order of the recipes, or the code with which it refused it.

    ``not_made`` has the code of each recipe that was not made, by its number. ``unasked`` says why it was not asked.
    """

    outputs: tuple[Output, ...] = ()
    refused: str | None = None
    text: str = ""
    not_made: Mapping[int, str] = field(default_factory=dict)
    unasked: str = ""


class Program(Protocol):
    """Something that makes renditions. Only thumbq is asked for its codes, and for what is its own choice."""

    is_thumbq: bool

    def cannot(self, claim: Claim) -> str:
        """Say why a claim cannot be put to this program; nothing when it can."""

    def make(self, original: bytes, recipes: Sequence[Mapping[str, Any]]) -> Made:
        """Make one rendition per recipe."""


def presets(recipes: Sequence[Mapping[str, Any]]) -> list[Preset]:
    """Return recipes as thumbq's presets."""
    return [Preset.model_validate({"name": f"recipe-{number}"} | dict(one)) for number, one in enumerate(recipes)]


def _number(preset: str) -> int:
    return int(preset.removeprefix("recipe-"))


def _placeholder(option: str) -> str:
    return "{" + option + "}"


def _said(value: object) -> str:
    """Return an option as a command line has it: ``true`` or nothing, and ``0.25,0.5``."""
    if value is None or isinstance(value, bool):
        return "true" if value else ""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


class Thumbq:
    """thumbq, in a real pool. A context manager; its event loop runs in a thread of its own."""

    is_thumbq = True

    def __init__(self, limits: Limits | None = None) -> None:
        self._stack = ExitStack()
        self._limits = limits or Limits()
        self._portal: BlockingPortal
        self._pool: RenderPool

    def __enter__(self) -> Self:
        with self._stack as stack:
            self._portal = stack.enter_context(start_blocking_portal())
            self._pool = stack.enter_context(self._portal.wrap_async_context_manager(self._portal.call(self._new_pool)))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def cannot(self, claim: Claim) -> str:  # noqa: ARG002 -- thumbq is what claims are about
        return ""

    def make(self, original: bytes, recipes: Sequence[Mapping[str, Any]]) -> Made:
        try:
            rendered = self._portal.call(self._render, original, presets(recipes))
        except (RenderRefused, RenderKilled) as problem:
            return Made(refused=problem.code, text=str(problem))
        outputs = tuple(Output(image.body, image) for image in rendered.images)
        return Made(outputs, not_made={_number(each.preset): each.code for each in rendered.not_made})

    async def _new_pool(self) -> RenderPool:
        """Make it where its event loop runs."""
        return RenderPool(
            PoolConfig(processes=1, memory_limit_bytes=512 * MIB, timeout_s=_TIMEOUT_S, limits=self._limits)
        )

    async def _render(self, original: bytes, recipes: list[Preset]) -> Rendered:
        with self._pool.source() as source:
            source.write(original)
            async with self._pool.acquire() as process:
                return await process.render(source, recipes)


class Command:
    """Another program, run once per output.

    The template is split as a shell would do it, then ``{input}``, ``{output}`` and each option of a preset
    (``{width}``, ``{animated}``) are replaced; what is not given, or false, is empty. The output's name says its
    format. An exit code of 77 says that the command cannot be asked for this; any other but 0, or no output, is a
    refusal. What is of a format that the program ``lacks`` is not put to it.
    """

    is_thumbq = False

    def __init__(self, template: str, *, lacks: Collection[ImageFormat] = (), timeout_s: float = _TIMEOUT_S) -> None:
        self._words = shlex.split(template)
        self._lacks = lacks
        self._timeout_s = timeout_s

    def cannot(self, claim: Claim) -> str:
        wanted = {option for recipe in (claim.recipe, *claim.others) for option in self._unsayable(recipe)}
        return f"the template cannot say {', '.join(sorted(wanted))}" if wanted else ""

    def _unsayable(self, recipe: Mapping[str, Any]) -> list[str]:
        asked = {option: value for option, value in recipe.items() if value != _OPTIONS[option]}
        if asked.get("format") != "auto":
            asked.pop("format", None)  # the output's name says it
        template = " ".join(self._words)
        return [option for option in asked if _placeholder(option) not in template]

    def make(self, original: bytes, recipes: Sequence[Mapping[str, Any]]) -> Made:
        found = sniff(original)
        if found is not None and found in self._lacks:
            return Made(unasked=f"it does not read {found.name}")
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, f"original.{found.name.lower() if found else 'bin'}")
            source.write_bytes(original)
            outputs = []
            for preset in presets(recipes):
                made = self._run(source, Path(folder, f"{preset.name}.{EXTENSIONS[preset.content_types[0]]}"), preset)
                if isinstance(made, Made):
                    return made
                outputs.append(Output(made))
        return Made(tuple(outputs))

    def _run(self, source: Path, target: Path, preset: Preset) -> bytes | Made:
        values = {
            "{input}": str(source),
            "{output}": str(target),
            **{_placeholder(option): _said(getattr(preset, option)) for option in _OPTIONS},
        }
        words = []
        for word in self._words:
            for placeholder, value in values.items():
                word = word.replace(placeholder, value)  # noqa: PLW2901 -- one placeholder after the other
            words.append(word)
        try:
            done = subprocess.run(words, capture_output=True, timeout=self._timeout_s, check=False)
        except subprocess.TimeoutExpired:
            return Made(refused=TIMEOUT, text=f"it ran for more than {self._timeout_s:g} s")
        if done.returncode == 0 and target.exists():
            return target.read_bytes()
        error = done.stderr.decode(errors="replace").strip()[-200:]
        if done.returncode == _UNASKED:
            return Made(unasked=f"it cannot be asked: {error}")
        return Made(refused="refused", text=f"exit code {done.returncode}: {error}")
