from __future__ import annotations

import pytest

from thumbq.core import malloc
from thumbq.imaging import heap


def test_afterwards_blocks_are_kept_as_a_render_process_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[int, int]] = []
    monkeypatch.setattr(malloc, "_mallopt", lambda *args: said.append(args))
    with pytest.raises(ValueError, match="damaged"), heap.smaller_blocks_returned():  # noqa: PT012 -- what it is about
        assert said == [(-3, 4 << 20)]
        raise ValueError("damaged")
    assert said[1:] == [(-3, int(heap.ENVIRONMENT["MALLOC_MMAP_THRESHOLD_"]))]


def test_where_the_c_library_has_no_such_call_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(malloc, "_mallopt", None)
    with heap.smaller_blocks_returned():
        pass
