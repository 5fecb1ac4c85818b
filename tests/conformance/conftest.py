"""The pool that all claims are held against."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from conformance.programs import Thumbq

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def thumbq() -> Iterator[Thumbq]:
    with Thumbq() as program:
        yield program
