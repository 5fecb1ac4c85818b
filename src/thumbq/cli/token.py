"""`thumbq token`: make tokens for clients."""

from __future__ import annotations

import secrets
import sys

import click

from thumbq.cli.console import Command, say
from thumbq.core.token import RANDOM_BYTES, Scope, Token, digest_of, is_name, new_token


@click.group()
def token() -> None:
    """Tokens of clients: make one.

    \b
    Example:
      thumbq token new --scope upload,read --name website
    """  # noqa: D301 - \b is click's mark for a paragraph that is not rewrapped


def _scopes(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> frozenset[Scope]:
    names = [name.strip() for value in values for name in value.split(",")]
    unknown = [name for name in names if name not in {*Scope}]
    if unknown:
        raise click.BadParameter(f"no scope {unknown[0]!r}; there are: {', '.join(Scope)}")
    return frozenset(map(Scope, names))


def _name(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not is_name(value):
        raise click.BadParameter("use up to 64 letters, digits, dots, - and _")
    return value


@token.command(cls=Command)
@click.option(
    "--scope",
    "scopes",
    metavar="SCOPES",
    required=True,
    multiple=True,
    callback=_scopes,
    help="What it may do: one or several of upload, read and admin, with commas between them.",
)
@click.option("--name", callback=_name, help="What logs call it; by default one is made of its hash.")
def new(scopes: frozenset[Scope], name: str | None) -> None:
    """Make a token, and print it and the line that the service keeps of it.

    The token is shown this once. Give it to the client; put the line into THUMBQ_TOKENS or THUMBQ_TOKENS_FILE.

    \b
    Example:
      thumbq token new --scope upload,read --name website
    """  # noqa: D301 - \b is click's mark for a paragraph that is not rewrapped
    text = new_token(secrets.token_bytes(RANDOM_BYTES))
    digest = digest_of(text)
    kept = Token(name or f"token-{digest.hex()[:8]}", scopes, digest)
    printed = say(text) and say(kept.line())
    say("The first line is for the client and is not shown again; the second one is for THUMBQ_TOKENS.", err=True)
    sys.exit(0 if printed else 1)
