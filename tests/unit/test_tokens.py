"""Tokens: how one is made and told from other words, and the lines that are kept of them."""

from __future__ import annotations

import hashlib
import random
import re
import zlib

import pytest

from thumbq.core.token import (
    RANDOM_BYTES,
    Scope,
    Token,
    digest_of,
    find,
    is_token,
    new_token,
    parse,
)

TOKEN = new_token(bytes(range(RANDOM_BYTES)))
DIGEST = hashlib.sha256(TOKEN.encode()).hexdigest()
OTHER = hashlib.sha256(b"other").hexdigest()


def faults(text: str) -> list[tuple[int, str]]:
    return [(each.line, each.what) for each in parse(text)[1]]


def test_a_token_has_160_random_bits_and_a_checksum_that_scanners_know() -> None:
    assert re.fullmatch(r"thumbq_[0-9A-Za-z]{33}", TOKEN)
    assert RANDOM_BYTES * 8 == 160
    assert new_token(b"\xff" * RANDOM_BYTES) != new_token(b"\xff" * (RANDOM_BYTES - 1) + b"\xfe")
    number = 0
    for character in TOKEN[-6:]:
        number = number * 62 + "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".index(character)
    assert number == zlib.crc32(TOKEN[:-6].encode())


def test_any_changed_character_makes_it_no_token() -> None:
    assert is_token(TOKEN)
    assert not is_token(TOKEN[:-1])
    assert not is_token(TOKEN + "0")
    for place in range(len("thumbq_"), len(TOKEN)):
        changed = "x" if TOKEN[place] != "x" else "y"
        assert not is_token(TOKEN[:place] + changed + TOKEN[place + 1 :])


def test_a_line_is_read_as_it_is_printed() -> None:
    kept = Token("website-2", frozenset({Scope.READ, Scope.UPLOAD}), digest_of(TOKEN))
    assert kept.line() == f"website-2:upload,read:{DIGEST}"
    assert parse(kept.line()) == ((kept,), ())


def test_comments_empty_lines_spaces_and_foreign_line_ends_are_no_faults() -> None:
    text = f"\ufeff# tokens\r\n\r\n  a : upload, read : {DIGEST} \r\n\tb:admin:{OTHER}"
    tokens, wrong = parse(text)
    assert [(token.name, token.scopes) for token in tokens] == [
        ("a", frozenset({Scope.UPLOAD, Scope.READ})),
        ("b", frozenset({Scope.ADMIN})),
    ]
    assert not wrong


def test_all_that_is_wrong_is_said_at_once_with_its_line() -> None:
    text = (
        f"# first\na b:uplod,,read:{DIGEST[:-1]}\nc:{DIGEST}\nd: ,:{DIGEST}\n"
        f"e:read:{hashlib.sha256().hexdigest().upper()}\nf:read:{OTHER}\n\ng:admin:{OTHER.upper()}"
    )
    assert faults(text) == [
        (2, "'a b' is no name: use up to 64 letters, digits, dots, - and _"),
        (2, "'uplod' is no scope; did you mean upload?"),
        (2, "its third part is no SHA-256: 64 digits of 0-9 and a-f"),
        (3, "it is not name:scopes:sha256"),
        (4, "it has no scope: give one or several of upload, read, admin"),
        (5, "its third part is the SHA-256 of nothing"),
        (8, "it is the token of line 6 again"),
    ]


@pytest.mark.parametrize("line", ["{}", "a:{}", "{}:read:{}", "a:{}:read", "a:read:{}", "a:read:{}:", "a:read:{} x"])
@pytest.mark.parametrize("secret", [TOKEN, "correct horse battery staple", TOKEN[:-1]])
def test_a_fault_never_shows_what_may_be_the_token(line: str, secret: str) -> None:
    [*wrong] = faults(line.format(secret, secret))
    assert wrong
    assert secret[4:] not in str(wrong)


def test_a_token_is_found_by_all_of_its_text_only() -> None:
    tokens, _ = parse(f"a:read:{OTHER}\nb:upload:{DIGEST}")
    assert find(tokens, TOKEN) == tokens[1]
    for text in (TOKEN[:-1], TOKEN + "x", "", DIGEST, "\udcff", "é"):
        assert find(tokens, text) is None


def test_several_tokens_may_have_one_name_while_one_is_replaced() -> None:
    tokens, wrong = parse(f"a:read:{OTHER}\na:read:{DIGEST}")
    assert (len(tokens), wrong) == (2, ())


def test_random_tokens_are_tokens() -> None:
    numbers = random.Random(1)
    assert all(is_token(new_token(numbers.randbytes(RANDOM_BYTES))) for _ in range(1000))
