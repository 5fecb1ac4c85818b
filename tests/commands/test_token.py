"""`thumbq token new`: a token that is shown once, and the line that is kept of it."""

from __future__ import annotations

import pytest

from support.commands import thumbq
from thumbq.core.token import Scope, Token, digest_of, is_token, parse


def made(*options: str) -> tuple[str, Token]:
    done = thumbq("token", "new", *options)
    assert done.exit_code == 0, done.stderr
    text, line = done.stdout.splitlines()
    assert is_token(text)
    assert text not in line + done.stderr
    [kept], faults = parse(line)
    assert not faults
    assert kept.digest == digest_of(text)
    return text, kept


def test_it_prints_a_token_and_the_line_to_keep() -> None:
    text, kept = made("--scope", "upload,read", "--name", "website")
    assert kept.name == "website"
    assert kept.scopes == {Scope.UPLOAD, Scope.READ}
    again, _ = made("--scope", "upload,read", "--name", "website")
    assert again != text


def test_scopes_may_be_given_one_by_one_and_a_name_is_made() -> None:
    _, kept = made("--scope", "admin", "--scope", " read")
    assert kept.scopes == {Scope.ADMIN, Scope.READ}
    assert kept.name == f"token-{kept.digest.hex()[:8]}"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "Missing option '--scope'"),
        (("--scope", ""), "no scope ''; there are: upload, read, admin"),
        (("--scope", "upload,wirte"), "no scope 'wirte'; there are: upload, read, admin"),
        (("--scope", "read", "--name", "a:b"), "letters, digits, dots"),
        (("--scope", "read", "--name", ""), "letters, digits, dots"),
    ],
)
def test_what_cannot_be_is_refused(options: tuple[str, ...], said: str) -> None:
    done = thumbq("token", "new", *options)
    assert done.exit_code == 2
    assert said in done.stderr
    assert not done.stdout
