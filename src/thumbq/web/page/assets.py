"""The page's files as browsers get them: each under a name with a hash of what all have, which can be kept for good.

Modules name each other by relative paths; here these become the names with the hash. There is one for all, since no
compression helps against a hash for each import. A folder becomes a part of the name, so that all of them lie side by
side: ``upload/list.js`` is ``upload-list.1a2b3c.js``. All style sheets are one. Comments and indentation stay here.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Final

import deflate

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.resources.abc import Traversable

MEDIA_TYPES: Final = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml", "html": "text/html"}

INDEX: Final = "index.html"
FOLDER: Final = "page"
"""What addresses of assets begin with, beside the index."""

_HASH_CHARS: Final = 6
_IMPORTED: Final = re.compile(
    r"""(?P<before>\b(?:from|import)\s*\(?\s*)(?P<quote>['"])(?P<path>\.{1,2}/[^'"]+)(?P=quote)"""
)
_LINKED: Final = re.compile(r"""(?P<before>\b(?:href|src)=)"(?P<path>[\w./-]+\.(?:js|css|svg))\"""")
_STYLE: Final = "style.css"
_COMMENT: Final = re.compile(r"^[ \t]*(?://[^\n]*|/\*(?!!).*?\*/[ \t]*)$", re.MULTILINE | re.DOTALL)
_AROUND_SIGNS: Final = re.compile(r"\s*([{};,])\s*|(?<=:) ")
_TEMPLATE: Final = r"`(?:[^`\\$]|\\.|\$(?!\{)|\$\{(?:[^`{}]|`[^`]*`|\{[^{}]*\})*\})*`"
_PARTS: Final = re.compile(
    rf"""(?P<kept>"(?:[^"\\\n]|\\.)*"|{_TEMPLATE}|/(?![*/\s])(?:[^/\\\n\[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/)|[^"`/]+|/""",
    re.DOTALL,
)
"""A module's texts, templates and patterns, which are ``kept``, and what is between them."""
_IDLE: Final = re.compile(r"(?<=[{}(\[,;])\n|,?\n(?=[}\])])|[ \t]*([=*<>!&|?:,;{}()\[\]]+)[ \t]*")
"""Line ends, last commas and spaces that say nothing between them."""
_VENDORED: Final = "vendor/"
_FUNCTION: Final = re.compile(r"^(?=export function )", re.MULTILINE)
_NAME: Final = re.compile(r"\b(\w+)\(")
_USED: Final = {"vendor/thumbhash.js": {"thumbHashToRGBA"}}
"""Of vendored modules browsers get these functions, and what they need."""
_BEST: Final = 12  # of libdeflate's levels
_AS_MODULES: Final = {"vendor/uPlot.iife.min.js": "\nexport default uPlot;\n"}
"""What scripts that are no modules need to be imported."""


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the page. ``etag`` is a hash of its content."""

    name: str
    media_type: str
    body: bytes
    gzipped: bytes
    etag: str

    def with_text(self, placeholder: str, text: str) -> Asset:
        """Return it with a text in place of another."""
        body = self.body.replace(placeholder.encode(), text.encode(errors="replace"))
        return _made(self.name, self.name.rpartition(".")[2], body)


@cache
def load_assets() -> tuple[Asset, Mapping[str, Asset]]:
    """Return the index, and all other files by their names."""
    sources = dict(_sources(resources.files(__package__) / "static"))
    sources[_STYLE] = "".join(sources.pop(path) for path in list(sources) if path.endswith(".css"))
    index = sources.pop(INDEX)
    unnamed = [_text(path, text, "") for path, text in sources.items()]
    digest = hashlib.sha256("".join(unnamed).encode()).hexdigest()[:_HASH_CHARS]
    assets = [
        _made(_name(path, digest), path.rpartition(".")[2], _text(path, text, digest).encode())
        for path, text in sources.items()
    ]
    index = _LINKED.sub(lambda found: f'{found["before"]}"{FOLDER}/{_name(found["path"], digest)}"', index)
    return _made(INDEX, "html", _without_indentation(index).encode()), {asset.name: asset for asset in assets}


def _sources(folder: Traversable, prefix: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        path = prefix + entry.name
        if entry.is_dir():
            found += _sources(entry, f"{path}/")
        elif path.rpartition(".")[2] in MEDIA_TYPES:
            found.append((path, entry.read_text(encoding="utf-8")))
    return found


def _with_what_is_used(text: str, used: set[str]) -> str:
    """Return a module of functions without those that neither ``used`` has nor any function that it has."""
    before, *functions = _FUNCTION.split(text)
    of_name = {_NAME.findall(function)[0]: function for function in functions}
    found: set[str] = set()
    while used:
        found |= used
        used = {name for each in found for name in _NAME.findall(of_name[each]) if name in of_name} - found
    return before + "".join(function for name, function in of_name.items() if name in found)


def _name(path: str, digest: str) -> str:
    """Return the name that the file at a path is served under."""
    stem, _, extension = path.rpartition(".")
    return f"{stem.replace('/', '-')}.{digest}.{extension}"


def _text(path: str, text: str, digest: str) -> str:
    """Return what is served of the file at a path, which names others by their names with this digest."""
    folder = posixpath.dirname(path)

    def renamed(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, found["path"]))
        return f"{found['before']}{found['quote']}./{_name(target, digest)}{found['quote']}"

    text = _without_indentation(_COMMENT.sub("", text))
    if path.endswith(".css"):
        return _AROUND_SIGNS.sub(r"\1", text)
    if not path.endswith(".js"):
        return text
    if not path.startswith(_VENDORED):
        text = _PARTS.sub(lambda part: part["kept"] or _IDLE.sub(r"\1", part[0]), text)
    if path in _USED:
        text = _with_what_is_used(text, _USED[path])
    return _IMPORTED.sub(renamed, text) + _AS_MODULES.get(path, "")


def _without_indentation(text: str) -> str:
    return "\n".join(line.strip() for line in text.splitlines() if line.strip()) + "\n"


def _made(name: str, extension: str, body: bytes) -> Asset:
    etag = hashlib.sha256(body).hexdigest()[:32]
    return Asset(name, MEDIA_TYPES[extension], body, bytes(deflate.gzip_compress(body, _BEST)), etag)
