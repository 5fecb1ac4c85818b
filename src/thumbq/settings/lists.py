"""Settings that are lists: in the file an array, in a variable its entries with commas between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def _split(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Texts = Annotated[tuple[str, ...], BeforeValidator(_split)]
"""Several texts without commas."""


def check_each(texts: Iterable[str], check: Callable[[str], object]) -> None:
    """Check texts one by one. Raises ValueError with all that ``check`` has raised."""
    wrong: list[str] = []
    for text in texts:
        try:
            check(text)
        except ValueError as error:
            wrong.append(str(error))
    if wrong:
        raise ValueError("; ".join(wrong))
