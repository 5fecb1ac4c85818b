"""Every code that can leave over HTTP has its status in one table, and the table has no others."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Final

import thumbq
from thumbq.web.problems import STATUSES

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE: Final = Path(thumbq.__file__).parent
ROOMS: Final = ("aws", "core", "intake", "local", "ports", "web")
MAKERS: Final = ("UploadRefused", "KeyNotFree", "problem_of")


def calls() -> Iterator[tuple[str, ast.expr]]:
    """Find where a problem is made, and the expression of its code."""
    for room in ROOMS:
        for file in sorted((SOURCE / room).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in MAKERS:
                    yield f"{file.relative_to(SOURCE)}:{node.lineno}", node.args[0]


def test_every_code_has_a_status_and_every_status_a_code() -> None:
    written: set[str] = set()
    for where, code in calls():
        if isinstance(code, ast.Constant) and isinstance(code.value, str):
            assert code.value in STATUSES, where
            written.add(code.value)
        else:
            # That of an error that is in this list itself, or of one that a record has.
            assert ast.unparse(code) in {"error.code", "known.code"}, where
    assert written == STATUSES.keys()
