"""Settings of who may do what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import BaseModel, Field, ValidationError, field_validator

from thumbq.core import token
from thumbq.core.origin import Authority
from thumbq.errors import Problem, SetupError
from thumbq.settings.faults import Fault, fault
from thumbq.settings.paths import NamedPath

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from thumbq.core.token import Token

_MAKE_ONE: Final = (
    "make a token with `thumbq token new --scope upload,read`, and keep its line in THUMBQ_TOKENS or THUMBQ_TOKENS_FILE"
)


_MOST: Final = 10**15 - 1  # the largest integer of a structured field (RFC 9651, section 3.3.1)
_CORRECT: Final = "correct the line, or remove it"


class AccessSettings(BaseModel):
    """Whether clients need tokens, which there are, and how often each client may ask."""

    access: Literal["tokens", "open"] | None = Field(
        default=None,
        description="`tokens`, or `open` for whoever can reach the address. By default `tokens` where there are any,"
        " and else `open` on a loopback address only ([Access](access.md)).",
    )
    tokens: str | None = Field(
        default=None, repr=False, description="Tokens of clients, one `name:scopes:sha256` a line."
    )
    tokens_file: NamedPath | None = Field(
        default=None, description="File with such lines; it is read again on SIGHUP, and adds to `THUMBQ_TOKENS`."
    )
    public_renditions: bool = Field(default=False, description="Whether renditions are served without a token.")
    rate_limit: str | None = Field(
        default=None,
        description="Requests of each token, or of each client address without one, in each replica, such as"
        " `600/minute`; none by default.",
    )

    @field_validator("rate_limit")
    @classmethod
    def _one_limit(cls, limit: str | None) -> str | None:
        if limit is not None:
            from limits import parse_many  # noqa: PLC0415 - it takes 0.1 s, and most settings have no limit

            try:
                [item] = parse_many(limit)
                valid = 0 < item.amount <= _MOST and item.get_expiry() <= _MOST
            except ValueError:
                valid = False
            if not valid:
                raise ValueError("it is no limit such as 600/minute, 10/second or 5000 per 2 hours")
        return limit

    def access_faults(self) -> Iterator[Fault]:
        """Yield the conflicts among these."""
        given = [name for name in ("tokens", "tokens_file") if getattr(self, name) is not None]
        if self.access == "open" and given:
            what = f"THUMBQ_ACCESS = 'open' asks for no tokens, and THUMBQ_{given[0].upper()} has some"
            yield fault("access", *given, what=what, fix="set THUMBQ_ACCESS=tokens, or unset the tokens")
        if self.tokens is not None:
            for each in token.parse(self.tokens)[1]:
                yield fault("tokens", what=f"THUMBQ_TOKENS, line {each.line}: {each.what}", fix=_CORRECT)

    @property
    def asks_for_tokens(self) -> bool:
        """Whether clients need tokens."""
        return self.access == "tokens" or self.tokens is not None or self.tokens_file is not None

    def read_tokens(self) -> tuple[Token, ...]:
        """Return the tokens there are, those of the file read just now.

        Raises SetupError with all that is wrong in the file, or when there is no token.
        """
        tokens, faults = token.parse(self.tokens or "")
        problems: list[Problem] = []
        if self.tokens_file is not None:
            more, problems = _read(self.tokens_file)
            tokens += more
        if not (tokens or faults or problems):
            where = "THUMBQ_TOKENS" if self.tokens_file is None else self.tokens_file
            problems.append(Problem(f"clients need tokens, and {where} has none", _MAKE_ONE))
        if problems:
            raise SetupError(problems)
        return tokens


class _Door(AccessSettings):
    """What decides whether the service may start for the clients that reach it."""

    host: str = "127.0.0.1"

    def problems(self) -> tuple[Problem, ...]:
        if self.asks_for_tokens:
            try:
                self.read_tokens()
            except SetupError as error:
                return error.problems
        elif self.access is None and not is_loopback(self.host):
            what = f"THUMBQ_HOST = {self.host!r} is no loopback address, and nobody would be asked for a token there"
            fix = f"{_MAKE_ONE}; or set THUMBQ_ACCESS=open where only those reach it who may do everything"
            return (Problem(what, fix),)
        return ()


def problems_to_serve(values: Mapping[str, Any]) -> tuple[Problem, ...]:
    """Return what keeps a service from starting, of settings that are valid or have been reported already."""
    known = {name: value for name, value in values.items() if name in _Door.model_fields}
    try:
        return _Door(**known).problems()
    except ValidationError as error:
        invalid = {str(entry["loc"][0]) for entry in error.errors()}
        return problems_to_serve({name: value for name, value in known.items() if name not in invalid})


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can be reached from this machine only."""
    authority = Authority.parse(f"[{host}]" if ":" in host else host)
    return authority is not None and authority.is_loopback


def _read(file: Path) -> tuple[tuple[Token, ...], list[Problem]]:
    try:
        tokens, faults = token.parse(file.read_text(encoding="utf-8"))
    except OSError as error:
        fix = "make it a file that thumbq may read"
        return (), [Problem(f"cannot read {file}: {error.strerror}", fix)]
    except UnicodeDecodeError as error:
        return (), [Problem(f"{file} is not UTF-8 from byte {error.start} on", "save it as UTF-8")]
    return tokens, [Problem(f"{file}, line {each.line}: {each.what}", _CORRECT) for each in faults]
