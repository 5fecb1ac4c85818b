"""ARCHITECTURE.md tells the truth: its files and functions exist, and its words are law."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import thumbq

SOURCE = Path(thumbq.__file__).parent
ROOT = Path(__file__).resolve().parents[2]
MAP = (ROOT / "ARCHITECTURE.md").read_text()
WAYS = MAP.partition("## The way of an upload and of a message")[2].partition("\n## ")[0].split("\n**")[1:]

FILE = r"`((?:\w+/)*\w+\.py)`"
NAMED = re.compile(FILE + r"((?:[\s,]+`[A-Za-z_.]+(?:\(\))?`)*)")

# What the words of the map have replaced. Each had another meaning elsewhere, or meant something to nobody else.
OLD_WORDS = (
    "lane",
    "lanes",
    "crew",
    "suspect",
    "suspects",
    "suspicion",
    "keeper",
    "LeaseKeeper",
    "WorkQueue",
    "QueueWork",
    "guilty",
    "Alone",
    "Shop",
    "Workshop",
    "GuardedStore",
    "Vitals",
    "QueueFacts",
    "JpegFacts",
    "advice",
    "Offer",
    "DirectUploads",
    "direct upload",
    "direct uploads",
    "spool",
    "Spool",
    "rehearsal",
    "cleanstart",
    "untold",
    "Manner",
    "Ladder",
    "Reel",
    "films",
    "vetting",
    "without a word",
)


def test_each_file_and_function_on_the_way_exists() -> None:
    for way in WAYS:
        for file, names in NAMED.findall(way):
            path = SOURCE / file
            if not path.exists():  # of the room that the line is about
                [path] = SOURCE.glob(f"aws_lambda/{file}")
            for name in re.findall(r"`([A-Za-z_.]+)(?:\(\))?`", names):
                for part in name.split("."):
                    found = re.search(rf"^\s*(?:async def|def|class) {part}\b", path.read_text(), re.MULTILINE)
                    assert found, f"{file} has no {name}"


@pytest.mark.parametrize("way", WAYS, ids=["upload", "message", "callback"])
def test_each_file_stands_on_its_way_once(way: str) -> None:
    files = re.findall(FILE, way)
    assert len(files) == len(set(files)), sorted(file for file in files if files.count(file) > 1)


def test_old_words_are_gone() -> None:
    pattern = re.compile(rf"(?<![\w-])(?:{'|'.join(sorted(OLD_WORDS, key=len, reverse=True))})(?![\w-])")
    texts = [*SOURCE.rglob("*.py"), *SOURCE.rglob("*.md"), ROOT / "README.md", ROOT / "ARCHITECTURE.md"]
    found = {path.name: words for path in texts if (words := pattern.findall(path.read_text()))}
    assert not found
