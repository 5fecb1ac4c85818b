"""Checks of how a file is coded, by its own headers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from conformance.claims import Check
from support.pictures.containers import jpeg_segments, riff_chunks

if TYPE_CHECKING:
    from conformance.output import Output

_JPEG_CHROMA: Final[dict[tuple[int, ...], str]] = {
    (0x22, 0x11, 0x11): "4:2:0",
    (0x21, 0x11, 0x11): "4:2:2",
    (0x11, 0x11, 0x11): "4:4:4",
}
_AVIF_CHROMA: Final = {0b000: "4:4:4", 0b010: "4:2:2", 0b011: "4:2:0", 0b111: "4:0:0"}


def has_segment(marker: int, *, there: bool = True) -> Check:
    def fault(output: Output) -> str | None:
        found = any(kind == marker for kind, _ in jpeg_segments(output.body))
        return None if found is there else f"marker {marker:#x} is {'' if found else 'not '}there"

    return Check(f"marker {marker:#x} is {'' if there else 'not '}in the JPEG", fault)


def has_jpeg_chroma(chroma: str) -> Check:
    def fault(output: Output) -> str | None:
        frames = [body for kind, body in jpeg_segments(output.body) if kind in {0xC0, 0xC1, 0xC2}]
        if not frames:
            return "it has no frame header"
        factors = tuple(frames[0][7 + 3 * number] for number in range(frames[0][5]))
        found = _JPEG_CHROMA.get(factors, str(factors))
        return None if found == chroma else f"its frame header says {found}"

    return Check(f"the sampling factors of its SOF are those of {chroma}", fault)


def has_avif_chroma(chroma: str) -> Check:
    """Read AV1 codec configuration (AV1-ISOBMFF 2.3.3): monochrome, then subsampling in x and y."""

    def fault(output: Output) -> str | None:
        at = output.body.find(b"av1C")
        found = "nothing" if at == -1 else _AVIF_CHROMA.get(output.body[at + 6] >> 2 & 0b111)
        return None if found == chroma else f"its av1C says {found}"

    return Check(f"its av1C says {chroma}", fault)


def has_chunk(kind: bytes) -> Check:
    """Look for a chunk of a WebP."""

    def fault(output: Output) -> str | None:
        found = [name for name, _ in riff_chunks(output.body)]
        return None if kind in found else f"its chunks are {found}"

    return Check(f"it has a {kind.decode()} chunk", fault)


def has_quality(quality: int) -> Check:
    """Compare the first quantisation table's DC with that of the IJG's scale (ITU-T T.81, K.1; libjpeg's jcparam.c)."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    expected = min(255, max(1, (16 * scale + 50) // 100))

    def fault(output: Output) -> str | None:
        steps = [body[1] for kind, body in jpeg_segments(output.body) if kind == 0xDB]
        return None if steps[:1] == [expected] else f"the step of luma's DC is {steps[:1]}"

    return Check(f"the quantisation step of luma's DC is {expected}", fault)


def is_smaller_than_other(number: int = 0) -> Check:
    def fault(output: Output) -> str | None:
        other = output.others[number].body
        return None if len(output.body) < len(other) else f"it has {len(output.body)} bytes, the other {len(other)}"

    return Check("it has fewer bytes than the other", fault)


def is_as_when_alone(least_db: float = 40) -> Check:
    """Compare each output with the same recipe's of a job of its own (``Claim.alone``)."""

    def fault(output: Output) -> str | None:
        together = [output, *output.others]
        pairs = zip(together[: len(together) // 2], together[len(together) // 2 :], strict=True)
        return "; ".join(wrong for pair in pairs if (wrong := _unlike(*pair, least_db))) or None

    return Check(f"each output and the one that is made alone are equal, or alike to {least_db:g} dB", fault)


def _unlike(one: Output, other: Output, least_db: float) -> str | None:
    if one.body == other.body:
        return None
    if one.rgba.shape != other.rgba.shape:
        return f"one is of {one.size}, alone of {other.size}"
    error = float(((one.rgba - other.rgba) ** 2).mean())
    found = 10 * math.log10(255**2 / error) if error else math.inf
    return None if found >= least_db else f"a {one.format} of {one.size} is alike to {found:.1f} dB only"


def same_bytes_as_others() -> Check:
    def fault(output: Output) -> str | None:
        return None if all(other.body == output.body for other in output.others) else "the bytes differ"

    return Check("its bytes and those of the others are the same", fault)
