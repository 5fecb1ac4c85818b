"""Values of labels, of which there is never more than a number that is known beforehand, and what belongs to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

OTHER: Final = "other"
_CLASS: Final = 100
_MOST_REMEMBERED: Final = 1000

V = TypeVar("V")


class Remembered(dict[tuple[Any, ...], V]):
    """What ``find`` returns for the values of a key, remembered for the first thousand keys."""

    def __init__(self, find: Callable[..., V]) -> None:
        super().__init__()
        self._find = find

    def __missing__(self, key: tuple[Any, ...]) -> V:
        """Find it."""
        found = self._find(*key)
        if len(self) < _MOST_REMEMBERED:
            self[key] = found
        return found


class Bounded:
    """The values that a label may have: ``known`` ones, and the first ones that come until there are ``grows_to``."""

    def __init__(self, known: Iterable[str], *, grows_to: int = 0) -> None:
        self._known = set(known)
        self._most = max(grows_to, len(self._known))

    def of(self, value: str) -> str:
        """Return the value, or ``other`` for one too many."""
        if value in self._known:
            return value
        if len(self._known) >= self._most:
            return OTHER
        self._known.add(value)
        return value


def status_of(status: int | None) -> str:
    """Return the class of an HTTP status, as ``2xx``; ``none`` where there is no answer."""
    return "none" if status is None else f"{status // _CLASS}xx"
