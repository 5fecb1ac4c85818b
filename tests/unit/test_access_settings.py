"""Who may do what, as settings: with anything wrong in them the service does not start, and all of it is said."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from support.commands import thumbq
from thumbq.core.token import parse
from thumbq.errors import SetupError
from thumbq.settings import Settings, load

DIGEST = hashlib.sha256(b"token").hexdigest()
LINE = f"website:upload,read:{DIGEST}"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("THUMBQ_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def serving(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(f"THUMBQ_{name.upper()}", value)
    return load(serving=True)


def wrong(monkeypatch: pytest.MonkeyPatch, **variables: str) -> list[str]:
    with pytest.raises(SetupError) as refused:
        serving(monkeypatch, **variables)
    assert all(problem.fix for problem in refused.value.problems)
    return [problem.what for problem in refused.value.problems]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "::1"])
def test_a_loopback_address_is_open_without_a_word(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not serving(monkeypatch, host=host).asks_for_tokens


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "10.0.0.1", "thumbq.example.com", "2130706433", "localhost.evil.com"]
)
def test_any_other_address_needs_tokens_or_open(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    [what] = wrong(monkeypatch, host=host)
    assert what == f"THUMBQ_HOST = {host!r} is no loopback address, and nobody would be asked for a token there"
    assert not serving(monkeypatch, host=host, access="open").asks_for_tokens
    monkeypatch.delenv("THUMBQ_ACCESS")
    assert serving(monkeypatch, host=host, tokens=LINE).asks_for_tokens
    assert load(host=host).host == host, "other commands listen on nothing"


def test_the_host_of_the_command_line_is_the_one_that_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THUMBQ_HOST", "0.0.0.0")
    assert load(serving=True, host="127.0.0.1").host == "127.0.0.1"
    monkeypatch.delenv("THUMBQ_HOST")
    with pytest.raises(SetupError):
        load(serving=True, host="0.0.0.0")


def test_serve_says_what_to_do_and_ends_with_2() -> None:
    done = thumbq("serve", "--local", "data", "--host", "0.0.0.0")
    assert done.exit_code == 2
    for part in ("no loopback address", "thumbq token new", "THUMBQ_TOKENS", "THUMBQ_ACCESS=open"):
        assert part in done.stderr
    assert not Path("data").exists()


@pytest.mark.parametrize("variables", [{}, {"tokens": "# none\n"}, {"tokens_file": "empty"}])
def test_tokens_without_a_token_are_refused(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    Path("empty").write_text("\n# a comment\n")
    where = variables.get("tokens_file", "THUMBQ_TOKENS")
    assert wrong(monkeypatch, access="tokens", **variables) == [f"clients need tokens, and {where} has none"]


@pytest.mark.parametrize("name", ["tokens", "tokens_file"])
def test_open_with_tokens_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("kept").write_text(LINE)
    value = LINE if name == "tokens" else "kept"
    [what] = wrong(monkeypatch, access="open", **{name: value})
    assert what == f"THUMBQ_ACCESS = 'open' asks for no tokens, and THUMBQ_{name.upper()} has some"


def test_everything_that_is_wrong_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("kept").write_text(f"# ours\nx:read:{DIGEST[1:]}\ny::{DIGEST}\n")
    said = wrong(
        monkeypatch,
        host="0.0.0.0",
        port="99999",
        tokens=f"a:uplod:{DIGEST}\nb",
        tokens_file="kept",
        rate_limit="often",
        cors_origins="*",
    )
    assert said == [
        "THUMBQ_PORT = '99999': Input should be less than or equal to 65535",
        "THUMBQ_RATE_LIMIT = 'often': it is no limit such as 600/minute, 10/second or 5000 per 2 hours",
        "THUMBQ_TOKENS, line 1: 'uplod' is no scope; did you mean upload?",
        "THUMBQ_TOKENS, line 2: it is not name:scopes:sha256",
        "THUMBQ_CORS_ORIGINS = '*' lets the pages of all sites in, and THUMBQ_ACCESS is not 'open'",
        "kept, line 2: its third part is no SHA-256: 64 digits of 0-9 and a-f",
        "kept, line 3: it has no scope: give one or several of upload, read, admin",
    ]


def test_a_tokens_file_that_cannot_be_read_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert wrong(monkeypatch, tokens_file="gone") == ["cannot read gone: No such file or directory"]
    assert wrong(monkeypatch, tokens_file=".") == ["cannot read .: Is a directory"]
    Path("latin").write_bytes(b"caf\xe9:read:" + DIGEST.encode())
    assert wrong(monkeypatch, tokens_file="latin") == ["latin is not UTF-8 from byte 3 on"]


def test_the_tokens_of_variable_and_file_are_valid_together(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("kept").write_text(LINE)
    other = f"other:admin:{hashlib.sha256(b'other').hexdigest()}"
    settings = serving(monkeypatch, tokens=other, tokens_file="kept")
    assert settings.read_tokens() == (*parse(other)[0], *parse(LINE)[0])


def test_what_is_wrong_with_tokens_never_shows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("thumbq.toml").write_text('tokens = ["the-secret"]\n')
    [what] = wrong(monkeypatch)
    assert what == "thumbq.toml: tokens: Input should be a valid string"
    Path("thumbq.toml").write_text(f'tokens = "{LINE}"\n')
    assert DIGEST not in repr(load(serving=True))


@pytest.mark.parametrize("limit", ["600/minute", "10/second", "5000 per 2 hours", "1/day"])
def test_a_limit_is_in_the_notation_of_limits(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert serving(monkeypatch, rate_limit=limit).rate_limit == limit


@pytest.mark.parametrize(
    "limit", ["0/minute", "600", "minute", "600/minute or so", f"{10**15}/day", "10/second;600/minute", "-1/minute"]
)
def test_what_is_no_limit_is_refused(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    [what] = wrong(monkeypatch, rate_limit=limit)
    assert what.startswith(f"THUMBQ_RATE_LIMIT = {limit!r}: it is no limit")


@pytest.mark.parametrize(
    ("name", "wrong", "right"),
    [
        ("allowed_hosts", ("a b", "example.com:80"), "example.com"),
        ("cors_origins", ("https://example.com/path", "example.com"), "https://example.com"),
        ("trusted_proxies", ("nonsense", "10.0.0.1/8"), "10.0.0.0/8"),
    ],
)
def test_of_a_list_all_that_is_wrong_is_said(
    monkeypatch: pytest.MonkeyPatch, name: str, wrong: tuple[str, str], right: str
) -> None:
    with pytest.raises(SetupError) as raised:
        serving(monkeypatch, **{name: ", ".join((wrong[0], right, wrong[1]))})
    [problem] = [each.what for each in raised.value.problems if name in each.what.lower()]
    assert all(repr(text) in problem.partition(": ")[2] for text in wrong)
    assert repr(right) not in problem.partition(": ")[2]
