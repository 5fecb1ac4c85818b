"""Access tokens: what one may do, how one is made, and the lines that say which there are.

A line is ``name:scopes:sha256``, the scopes with commas between them. Nobody has to keep a token but who uses it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import zlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from thumbq.core.quoting import quoted, suggestion

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

RANDOM_BYTES: Final = 20
_PREFIX: Final = "thumbq_"
_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_CHARS: Final = 27  # 62 ** 27 > 2 ** 160
_CHECKSUM_CHARS: Final = 6  # 62 ** 6 > 2 ** 32
_TOKEN: Final = re.compile(f"{_PREFIX}[0-9A-Za-z]{{{_RANDOM_CHARS + _CHECKSUM_CHARS}}}")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHOWN_CHARS: Final = 20  # no secret is so short
_DIGEST: Final = re.compile(r"[0-9A-Fa-f]{64}")
_DIGEST_OF_NOTHING: Final = hashlib.sha256().hexdigest()


class Scope(StrEnum):
    """What a token may do. None includes another: a token has as many as it needs."""

    UPLOAD = "upload"
    """Upload, and look at single jobs by their ids."""
    READ = "read"
    """Look at all jobs."""
    ADMIN = "admin"
    """Delete, and do what operators do."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it is kept: ``digest`` is the SHA-256 of its text.

    Several may have one name: while one is replaced, both are one client.
    """

    name: str
    scopes: frozenset[Scope]
    digest: bytes

    def line(self) -> str:
        """Return the line that ``parse`` takes."""
        return f"{self.name}:{','.join(scope for scope in Scope if scope in self.scopes)}:{self.digest.hex()}"


@dataclass(frozen=True, slots=True)
class LineFault:
    """What is wrong in a line. ``what`` shows no part that may be a token, written there by mistake."""

    line: int
    what: str


def new_token(random: bytes) -> str:
    """Make a token of RANDOM_BYTES random bytes.

    It ends with the CRC-32 of what stands before, as GitHub's tokens do ("Behind GitHub's new authentication token
    formats", 2021): who scans texts for secrets can tell it from any other word.
    """
    text = _PREFIX + _base62(int.from_bytes(random), _RANDOM_CHARS)
    return text + _checksum(text)


def is_token(text: str) -> bool:
    """Whether a text is a token that ``new_token`` makes: its form and its checksum are right."""
    return _TOKEN.fullmatch(text) is not None and _checksum(text[:-_CHECKSUM_CHARS]) == text[-_CHECKSUM_CHARS:]


def is_name(text: str) -> bool:
    """Whether a token may have this name."""
    return _NAME.fullmatch(text) is not None


def digest_of(text: str) -> bytes:
    """Return what is kept of a token."""
    return hashlib.sha256(text.encode(errors="surrogateescape")).digest()


def find(tokens: Iterable[Token], text: str) -> Token | None:
    """Return the token with this text. It takes the same time whichever it is, and whether there is one."""
    digest, found = digest_of(text), None
    for token in tokens:
        if hmac.compare_digest(token.digest, digest):
            found = token
    return found


def parse(text: str) -> tuple[tuple[Token, ...], tuple[LineFault, ...]]:
    """Return the tokens of all lines, and all that is wrong in them. A # in front makes a line a comment."""
    tokens: dict[bytes, tuple[int, Token]] = {}
    faults: list[LineFault] = []
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        parts = [part.strip() for part in line.split(":")]
        wrong = tuple(_faults(parts))
        faults += [LineFault(number, what) for what in wrong]
        if wrong:
            continue
        name, scopes, digest = parts
        token = Token(name, frozenset(map(Scope, _split(scopes))), bytes.fromhex(digest))
        earlier, _ = tokens.setdefault(token.digest, (number, token))
        if earlier != number:
            faults.append(LineFault(number, f"it is the token of line {earlier} again"))
    return tuple(token for _, token in tokens.values()), tuple(faults)


def _faults(parts: list[str]) -> Iterator[str]:
    if any(map(is_token, parts)):
        yield "it has the token itself: make a new one, and keep the line that `thumbq token new` prints"
        return
    if len(parts) != 3:  # noqa: PLR2004 - name, scopes, digest
        yield "it is not name:scopes:sha256"
        return
    name, scopes, digest = parts
    if not is_name(name):
        yield f"{_shown(name)} is no name: use up to 64 letters, digits, dots, - and _"
    if not _split(scopes):
        yield f"it has no scope: give one or several of {', '.join(Scope)}"
    for scope in _split(scopes):
        if scope not in {*Scope}:
            yield f"{_shown(scope)} is no scope{suggestion(scope, Scope)}"
    if not _DIGEST.fullmatch(digest):
        yield "its third part is no SHA-256: 64 digits of 0-9 and a-f"
    elif digest.lower() == _DIGEST_OF_NOTHING:
        yield "its third part is the SHA-256 of nothing"


def _shown(word: str) -> str:
    return quoted(word) if len(word) <= _SHOWN_CHARS else f"a word of {len(word)} characters"


def _split(scopes: str) -> list[str]:
    return [scope.strip() for scope in scopes.split(",") if scope.strip()]


def _checksum(text: str) -> str:
    return _base62(zlib.crc32(text.encode()), _CHECKSUM_CHARS)


def _base62(number: int, length: int) -> str:
    characters: list[str] = []
    for _ in range(length):
        number, place = divmod(number, len(_ALPHABET))
        characters.append(_ALPHABET[place])
    return "".join(reversed(characters))
