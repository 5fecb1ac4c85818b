"""The figures, and what their names mean."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thumbq.ports import Rendered


THUMBQ: Final = "thumbq"
REFERENCES: Final = ("bare", "thumbnail", "naive")

LEGEND: Final[Mapping[str, str]] = {
    THUMBQ: "the render of a worker: header, decode, all renditions with their encoding, dominant colour, ThumbHash",
    "bare": "the cheapest decode with enough pixels: open and load, a JPEG at the least scale that covers the size",
    "thumbnail": "Image.open and Image.thumbnail to the preset's box, and nothing else (one preset)",
    "naive": "for each rendition open, load, exif_transpose, a LANCZOS resize, save at its quality (several presets)",
    "ms": "CPU time, user and system, of one image in a warm process; the best run, each in turn with the others",
    "ratio": "thumbq's time by that of the column before",
    "peak": "resident memory of a fresh render process at its most, above that when idle; its original is in it",
}

NOT_GENERATED: Final[Mapping[str, str]] = {
    "heic": "nothing here can write HEIC (pi-heif only decodes): give a file of your own"
}
"""Classes that are measured only when a file is given, and why."""


@dataclass(frozen=True, slots=True)
class Timing:
    """CPU milliseconds of every run, by who ran; why a reference did not; versions of what is behind Pillow."""

    cpu_ms: dict[str, list[float]]
    failed: dict[str, str]
    libraries: dict[str, str]


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident bytes of a render process before its first job, and at its most in it."""

    idle_bytes: int
    peak_bytes: int

    @property
    def above_idle_bytes(self) -> int:
        """The job's share."""
        return self.peak_bytes - self.idle_bytes


@dataclass(frozen=True, slots=True)
class Measured:
    """One class of input: its file, its renditions, and what they took.

    ``memory`` is None where the system does not report it.
    """

    name: str
    file: str | None
    bytes: int
    rendered: Rendered
    timing: Timing
    memory: Memory | None

    def best_ms(self, who: str) -> float | None:
        """Return the CPU time of the best run, None when it did not run."""
        runs = self.timing.cpu_ms.get(who)
        return min(runs) if runs else None

    def ratio(self, reference: str) -> float | None:
        """Return the render's CPU time by that of a reference, None when that did not run."""
        own, other = self.best_ms(THUMBQ), self.best_ms(reference)
        return own / other if own and other else None

    def document(self) -> dict[str, Any]:
        """Return everything, for JSON."""
        rendered = self.rendered
        return {
            "class": self.name,
            "file": self.file,
            "bytes": self.bytes,
            "format": rendered.format,
            "width": rendered.width,
            "height": rendered.height,
            "renditions": [
                {
                    "preset": image.preset,
                    "width": image.width,
                    "height": image.height,
                    "bytes": len(image.body),
                    "content_type": image.content_type,
                    "steps": asdict(image.steps),
                }
                for image in rendered.images
            ],
            "cpu_ms": self.timing.cpu_ms,
            "best_ms": {who: self.best_ms(who) for who in self.timing.cpu_ms},
            "ratio": {who: self.ratio(who) for who in REFERENCES if who in self.timing.cpu_ms},
            "failed_references": self.timing.failed,
            "memory": None
            if self.memory is None
            else asdict(self.memory) | {"above_idle_bytes": self.memory.above_idle_bytes},
        }


@dataclass(frozen=True, slots=True)
class NotMeasured:
    """One class of input that cannot be rendered, and why: ``code`` is for programs."""

    name: str
    file: str | None
    code: str
    text: str

    def document(self) -> dict[str, Any]:
        """Return everything, for JSON."""
        return {"class": self.name, "file": self.file, "error": {"code": self.code, "message": self.text}}
