"""What the fork server and the resource tracker leave and say: no file, and lines of the log."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from multiprocessing import util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from support.patience import until
from thumbq.pool import executor, helperoutput, unlinkedsocket

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def directory() -> Iterator[Path]:
    """Make a directory with a short path: that of a socket has 107 bytes at the most."""
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


def test_a_socket_is_reached_without_its_file(directory: Path) -> None:
    assert unlinkedsocket.supported(directory)
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize("address", ["/proc/self/fd/-", "/nonexistent/fd/7"])
def test_where_it_is_not_multiprocessing_keeps_its_own_directory(
    address: str, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    monkeypatch.setattr(util, "get_temp_dir", lambda: "its own")
    with executor._unlinked_socket():
        made = Path(util.get_temp_dir())
        assert made.parent == directory
    assert not made.exists()
    monkeypatch.setattr(unlinkedsocket.Held, "address", address)
    with executor._unlinked_socket():
        assert util.get_temp_dir() == "its own"
    assert util.get_temp_dir() == "its own"
    assert list(directory.iterdir()) == []


async def test_what_helpers_say_is_logged_line_by_line_and_no_helper_waits_for_the_log() -> None:
    output = helperoutput._HelperOutput()
    with capture_logs() as lines:
        os.write(output.writer, b"Traceback\n  KeyError\nhal")
        await until(lambda: lines, within_s=1, what="a line of the log")
        with output._lock, suppress(BlockingIOError):  # as while the log is stuck
            while True:
                os.write(output.writer, b"f\xff\n" * 1000)
        output.log_all()
    assert lines[0] == {"event": "pool.helper_said", "log_level": "warning", "text": "Traceback\n  KeyError"}
    said = [line["text"] for line in lines[1:]]
    assert said[0].startswith("half\ufffd\nf\ufffd\n")
    assert all(len(text) <= helperoutput._MOST_CHARACTERS for text in said)
