"""How ids and object keys are made. Keys are deterministic: a job done twice writes the same objects."""

from __future__ import annotations

import hashlib
import re
import string
from functools import lru_cache
from typing import Final

MAX_KEY_BYTES: Final = 1024
"""S3's limit for a key in UTF-8 (Amazon S3 User Guide, "Naming Amazon S3 objects")."""

UPLOADS_PREFIX: Final = "uploads/"
INBOX_PREFIX: Final = "inbox/"
"""Originals of presigned uploads."""

MANIFESTS_PREFIX: Final = "manifests/"
CRASH_RECORDS_PREFIX: Final = "attempts/"
PROBE_KEY: Final = f"{CRASH_RECORDS_PREFIX}probe"
FAILED_MESSAGES_PREFIX: Final = "failed-messages/"
PRESIGNED_PREFIX: Final = "presigned/"
PAUSES_PREFIX: Final = "paused/"
IDEMPOTENCY_PREFIX: Final = "idempotency/"
TOMBSTONES_PREFIX: Final = "tombstones/"
OWN_PREFIXES: Final = (
    MANIFESTS_PREFIX,
    CRASH_RECORDS_PREFIX,
    FAILED_MESSAGES_PREFIX,
    PRESIGNED_PREFIX,
    TOMBSTONES_PREFIX,
    IDEMPOTENCY_PREFIX,
    PAUSES_PREFIX,
)
"""Where thumbq keeps its records: a key here is never a source."""

# Crockford's base32 in lower case keeps the order of the numbers in the order of the characters.
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_TIME_CHARS: Final = 10
_RANDOM_CHARS: Final = 16
_PLAIN_CHARS: Final = _TIME_CHARS + _RANDOM_CHARS
_LAST_MS: Final = (1 << 48) - 1
_ID: Final = re.compile(f"[{_ALPHABET}]{{{_PLAIN_CHARS},{_PLAIN_CHARS + 1}}}")

MAX_KEY_PREFIXES: Final = len(_ALPHABET)
_SHARDS: Final = _ALPHABET[::-1]
"""The first shard is the last one in a listing: the first key of a listing tells how many there are."""

_SHARD_MARK: Final = "-"
"""Begins a shard's folder. It comes before all ids in a listing."""

_UPLOAD: Final = re.compile(
    f"(?:{UPLOADS_PREFIX}|{INBOX_PREFIX})"
    f"(?:(?P<plain>[{_ALPHABET}]{{{_PLAIN_CHARS}}})"
    f"|{_SHARD_MARK}(?P<shard>[{_ALPHABET}])/(?P<spread>[{_ALPHABET}]{{{_PLAIN_CHARS}}}(?P=shard)))"
)
"""What ``upload_key`` and ``inbox_key`` make of ids."""
_TEMPLATE_FIELDS: Final = frozenset({"preset", "name", "ext", "hash"})


def _base32(number: int, length: int) -> str:
    return "".join(_ALPHABET[(number >> (5 * place)) & 31] for place in reversed(range(length)))


def new_id(now_ms: int, random_80: int, prefixes: int = 1) -> str:
    """Make the id of an upload: inverted milliseconds, so that S3 lists the newest first, then 80 random bits.

    Keys are spread over so many ``prefixes``: with more than one a last character says the shard. So an id alone tells
    its keys, however many prefixes there were when it was made.
    """
    shard = _SHARDS[random_80 % prefixes] if prefixes > 1 else ""
    return _base32(_LAST_MS - now_ms, _TIME_CHARS) + _base32(random_80, _RANDOM_CHARS) + shard


def last_id_at(now_ms: int) -> str:
    """Return the id behind which those of earlier milliseconds sort."""
    return new_id(min(max(now_ms, 0), _LAST_MS), (1 << 5 * _RANDOM_CHARS) - 1)


def made_at_s(upload_id: str) -> float:
    """Return when an id was made, in POSIX seconds."""
    inverted = 0
    for char in upload_id[:_TIME_CHARS]:
        inverted = inverted << 5 | _ALPHABET.index(char)
    return (_LAST_MS - inverted) / 1000


def is_id(text: str) -> bool:
    """Whether a text has the form of an id that ``new_id`` makes."""
    return _ID.fullmatch(text) is not None


def _in_shard(upload_id: str) -> str:
    """Return an id with the folder of its shard, if it has one."""
    shard = upload_id[_PLAIN_CHARS:]
    return f"{_SHARD_MARK}{shard}/{upload_id}" if shard else upload_id


def upload_key(upload_id: str) -> str:
    """Return the key of the original with this id."""
    return UPLOADS_PREFIX + _in_shard(upload_id)


def inbox_key(upload_id: str) -> str:
    """Return the key of the original of a presigned upload."""
    return INBOX_PREFIX + _in_shard(upload_id)


def presigned_key(upload_id: str) -> str:
    """Return the key of the record of a presigned upload."""
    return f"{PRESIGNED_PREFIX}{_in_shard(upload_id)}.json"


def all_shards(prefix: str) -> str:
    """Return what the keys of all shards under ``uploads/`` or ``inbox/`` begin with."""
    return prefix + _SHARD_MARK


def shard_prefixes(prefix: str, first_key: str) -> list[str]:
    """Return the prefixes of the shards that there are, by the first key that ``all_shards`` lists.

    A key of a stranger's there tells nothing: then they are all that there may be.
    """
    found = upload_id(first_key)
    last = MAX_KEY_PREFIXES if found is None else _SHARDS.index(found[-1]) + 1
    return [f"{all_shards(prefix)}{shard}/" for shard in _SHARDS[:last]]


def before_ids(prefix: str) -> str:
    """Return the key behind which a listing of ``uploads/`` or ``inbox/`` has the ids without a shard."""
    return prefix + _ALPHABET[0]


def tombstone_key(upload_id: str) -> str:
    """Return the key of the tombstone of a job. It does not tell the id, which is a secret."""
    return f"{TOMBSTONES_PREFIX}{hashlib.sha256(upload_id.encode()).hexdigest()}.json"


def key_record_key(digest: str, generation: int = 1) -> str:
    """Return the key of the record of an idempotency key, or of the election of a later claim of it."""
    return f"{IDEMPOTENCY_PREFIX}{digest}{'' if generation == 1 else f'.{generation}'}.json"


def upload_id(source_key: str) -> str | None:
    """Return the id of an upload from its original's key, or None for an original that came another way."""
    found = _UPLOAD.fullmatch(source_key)
    return found and (found["plain"] or found["spread"])


def folder_of(source_key: str) -> str:
    """Return an original's key up to its last slash, with it, but for the folder of a shard: ``uploads/``."""
    if upload_id(source_key) is not None:
        return source_key[: source_key.index("/") + 1]
    folder, slash, _ = source_key.rpartition("/")
    return folder + slash


def manifest_key(source_key: str) -> str:
    """Return the key of the manifest of an original."""
    return shortened(f"{MANIFESTS_PREFIX}{source_key}.json")


def crash_record_key(message_id: str, number: int = 1) -> str:
    """Return the key of the crash record of a message's job; ``number`` counts the jobs from 1."""
    return f"{CRASH_RECORDS_PREFIX}{message_id}{'' if number == 1 else f'.{number}'}.json"


def failed_message_key(message_id: str) -> str:
    """Return the key of the record of a message that failed and is no job, or whose body is kept whole."""
    return f"{FAILED_MESSAGES_PREFIX}{message_id}.json"


def pause_key(queue: str) -> str:
    """Return the key of the record that a queue is paused; ``queue`` is its name for people."""
    return f"{PAUSES_PREFIX}{queue}.json"


def rendition_key(template: str, *, preset: str, source_key: str, extension: str) -> str:
    """Fill a preset's key template.

    ``{name}`` is the source key without its first folder and its extension, ``{hash}`` 16 hexadecimal
    digits of the whole source key, for sources whose names would collide (``a.png`` and ``a.gif``). A file's name
    never becomes the segment ``.`` or ``..``.
    """
    first, _, rest = source_key.partition("/")
    name = rest or first
    folder, slash, file = name.rpartition("/")
    stem = file.rpartition(".")[0]
    if not stem.strip("."):
        stem = file
    return shortened(
        template.format(
            preset=preset,
            name=folder + slash + stem,
            ext=extension,
            hash=hashlib.sha256(source_key.encode()).hexdigest()[:16],
        )
    )


@lru_cache(maxsize=1024)
def output_prefix(template: str, *, preset: str) -> str:
    """Return the folder that all keys of a template lie under.

    Raises ValueError when there is none or the template is not well formed: without a folder of their own,
    renditions could not be told from originals, and as a file's path ``..`` would lead out of it.
    """
    literal = ""
    fields: set[str] = set()
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"key template {template!r}: {error}") from error
    for text, field, format_spec, conversion in parts:
        if field is not None and (field not in _TEMPLATE_FIELDS or format_spec or conversion):
            raise ValueError(
                f"key template {template!r}: {{{field}}} is not one of {{preset}}, {{name}}, {{ext}}, {{hash}}"
            )
        if fields <= {"preset"}:
            literal += text + (preset if field == "preset" else "")
        if field is not None:
            fields.add(field)
    folder, slash, _ = literal.partition("/")
    if not slash or not folder:
        raise ValueError(f"key template {template!r} does not start with a folder, such as {{preset}}/")
    if not fields & {"name", "hash"}:
        raise ValueError(f"key template {template!r} has neither {{name}} nor {{hash}}: all keys would be the same")
    if not {"", ".", ".."}.isdisjoint(template.split("/")):
        raise ValueError(f"key template {template!r} has a segment that is empty, . or ..: leave it out")
    return literal[: literal.rindex("/") + 1]


def shortened(key: str) -> str:
    """Return a key of at most 1,024 bytes: a longer one is cut and ends with a hash of the whole."""
    raw = key.encode()
    if len(raw) <= MAX_KEY_BYTES:
        return key
    head, _, tail = key.rpartition(".")
    extension = f".{tail}" if head and len(tail) <= 8 and "/" not in tail else ""  # noqa: PLR2004 - jpeg.json
    ending = f"~{hashlib.sha256(raw).hexdigest()[:32]}{extension}"
    return raw[: MAX_KEY_BYTES - len(ending.encode())].decode(errors="ignore") + ending
