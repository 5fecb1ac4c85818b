"""JSON objects in which each member stands once: of two with one name every reader would take another."""

from __future__ import annotations

from typing import Any


class RepeatedMember(ValueError):
    """A member stands twice in one object."""

    def __init__(self, name: str) -> None:
        super().__init__("a member stands twice in one object")
        self.name = name


def once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the members of an object (the ``object_pairs_hook`` of ``json``). Raises RepeatedMember."""
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise RepeatedMember(name)
        members[name] = value
    return members
