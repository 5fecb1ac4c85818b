"""A sender's own metadata: what is taken, and how an original's metadata has it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thumbq.core import jobmetadata
from thumbq.core.uploadoptions import UploadOptions, metadata

NAMES = st.text("abcxyz019_-", min_size=1, max_size=32)
VALUES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


@given(st.dictionaries(NAMES, VALUES, max_size=5))
def test_what_is_taken_comes_back_and_is_plain_ascii(given_metadata: dict[str, str]) -> None:
    jobmetadata.check(given_metadata)
    stored = jobmetadata.encode(given_metadata)
    assert jobmetadata.decode(stored) == (given_metadata or None)
    for text in stored.values():
        assert text.isascii()
        assert not set(text) & set(' "$\\\t\r\n')


@pytest.mark.parametrize(
    "wrong",
    [
        {"": "a"},
        {"A": "a"},
        {"a b": "a"},
        {"ä": "a"},
        {"a" * 33: "a"},
        {"a": ""},
        {"a": "\ud800"},
        {f"n{number}": "a" for number in range(11)},
        {"a": "x" * 500},
        {"a": "é" * 250},
    ],
)
def test_other_metadata_is_not_taken_and_is_none_when_an_original_has_it(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"name|empty|bytes|pair"):
        jobmetadata.check(wrong)
    if "\ud800" not in wrong.values():
        assert jobmetadata.decode(jobmetadata.encode(wrong)) is None


@pytest.mark.parametrize("stored", ["", "&&", "a", "a=%FF", "=b", "%00=b"])
def test_what_somebody_else_has_put_there_is_read_if_it_can_be(stored: str) -> None:
    assert jobmetadata.decode({jobmetadata.METADATA: stored}) is None


def test_the_most_that_is_taken_fits_into_an_originals_metadata() -> None:
    most = {"n" * 31 + str(number): "é" * 9 for number in range(10)}
    jobmetadata.check(most)
    found = metadata(UploadOptions(metadata=most), "x" * 255)
    assert jobmetadata.decode(found) == most
    assert sum(len(name) + len(value) for name, value in found.items()) <= 1900
