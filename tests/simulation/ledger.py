"""What has become of uploads and messages, by what is stored; and what must be true of that."""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from simulation.rendering import PRESETS, bad_preset, presets_of
from thumbq.core import deadletter, keys
from thumbq.core import message as messages
from thumbq.core.crashrecord import CrashRecord
from thumbq.core.manifest import Manifest
from thumbq.errors import MalformedMessage

if TYPE_CHECKING:
    from simulation.referee import Hold, Referee
    from simulation.services import Services
    from simulation.shape import Shape
    from simulation.virtualloop import VirtualLoop
    from thumbq.core.job import ObjectRef

EXPECTED: Final = {
    "refused": {"corrupt"},
    "crashing": {"render-crashed"},
    "hanging": {"decode-timeout", "render-crashed"},
    "killer": {"render-crashed"},
    "denied": {"source-denied"},
    "archived": {"source-archived"},
}
"""How each bad image ends, unless its attempts are used up before."""


class Ledger:
    """The books of one run."""

    def __init__(self, loop: VirtualLoop, shape: Shape, services: Services, referee: Referee) -> None:
        self._loop = loop
        self._shape = shape
        self._services = services
        self._referee = referee
        self.accepted: dict[str, str] = {}
        """Keys of accepted uploads, and their kinds."""
        self.replaced: dict[str, set[str]] = {}
        """Keys of originals that others store, and the presets that each has in the end."""
        self.deleting: set[str] = set()
        """Keys of originals whose jobs their senders have asked to delete."""
        self.deleted: set[str] = set()
        """Of these those for which that was answered."""
        self.unsure: set[str] = set()
        """Requests that were carried out without an answer, perhaps late, or not at all: refused ones, too."""
        self.moved_at: dict[str, float] = {}
        """When the queue itself made a message a dead letter."""
        self.late: set[str] = set()
        """Of these those that may have been carried out after others have acted on what was there before."""
        self._record_writers: defaultdict[str, list[Hold]] = defaultdict(list)
        """Which receives of its message have written an crash record."""
        self._done_since: dict[str, float] = {}

    def manifest_of(self, key: str) -> Manifest | None:
        """Return the manifest of an original."""
        found = self._services.read(keys.manifest_key(key))
        return None if found is None else Manifest.decode(found)

    def is_quarantined(self, hold: Hold | None) -> bool:
        """Whether a message is known to have ended renders, going by its crash record."""
        found = None if hold is None else self._services.read(keys.crash_record_key(hold.message.id))
        record = None if found is None else CrashRecord.decode(found)
        return record is not None and record.quarantined

    def note_record(self, key: str, hold: Hold | None) -> None:
        """Remember whose an crash record is."""
        if hold is not None:
            self._record_writers[key].append(hold)

    def note_manifest(self, key: str, body: bytes) -> None:
        """Remember since when it is known that something is done: what has failed of it another message tries again."""
        record = Manifest.decode(body)
        if record is not None and record.status == "done" and record.failed is None:
            self._done_since.setdefault(key, self._loop.now)

    def check_overwrite(self, key: str, old: bytes, new: bytes) -> None:
        """Check that no failure goes over what says done, where one original has one recipe and one message."""
        if key.startswith(keys.MANIFESTS_PREFIX):
            before, after = Manifest.decode(old), Manifest.decode(new)
            undone = before and after and (before.status, after.status) == ("done", "failed")
            if before and undone and before.source.key not in self.replaced.keys() | self.deleting:
                self._referee.violated(f"a failure was put over what was done: {key}")

    def check_render(self, hold: Hold) -> None:
        """Check that what is made has not been made before this receive, if it was received before that."""
        if hold.message.receive_count == 1:
            return  # nothing has been made for this message
        jobs = messages.parse(hold.message.body, default_bucket=self._services.bucket).jobs
        if any(job.source.key in self.replaced.keys() | self.deleting for job in jobs):
            return
        done_since = (self._done_since.get(keys.manifest_key(job.source.key), self._loop.now) for job in jobs)
        if all(since < hold.arrived_at for since in done_since):
            self._referee.violated(f"rendered again though it was done before it was received: {hold}")

    def check_delete(self, hold: Hold) -> None:
        """Check that a message's outcome is stored before the message is deleted."""
        if not self.has_ended(hold):
            self._referee.violated(f"deleted before its outcome was stored: {hold} {hold.message.body}")

    def is_about_deleted(self, hold: Hold) -> bool:
        """Whether a message asks for a job that its sender deletes, and not for that deletion."""
        body = hold.message.body
        return any(key in body for key in self.deleting) and "deletion" not in json.loads(body)

    def has_ended(self, hold: Hold) -> bool:
        """Whether the outcome of a message is stored."""
        try:
            jobs = messages.parse(hold.message.body, default_bucket=self._services.bucket).jobs
        except MalformedMessage:
            return self._is_kept(hold)
        return all(self._job_has_ended(hold, job.source) for job in jobs)

    def _job_has_ended(self, hold: Hold, source: ObjectRef) -> bool:
        if source.bucket != self._services.bucket:
            return self._is_kept(hold)
        ended = self._shape.settings.catalog.is_output(source.key) or source.key in self.deleting
        return ended or self.manifest_of(source.key) is not None

    def _is_kept(self, hold: Hold) -> bool:
        return self._services.read(keys.failed_message_key(hold.message.id)) is not None

    def unsettled(self) -> list[str]:
        """Return what has not come to its end yet."""
        left = [f"message {one} is in the queue" for one in self._services.messages()]
        with_outcome = [key for key in (*self.accepted, *self.replaced) if key not in self.deleting]
        left += [f"{key} has no manifest" for key in with_outcome if self.manifest_of(key) is None]
        records = self._services.keys(keys.CRASH_RECORDS_PREFIX)
        left += [f"{key} is left" for key in records if not self._excused_record(key)]
        left += [f"dead letter {one} has no reason" for one, note in self._services.letters() if note is None]
        return left

    def _excused_record(self, key: str) -> bool:
        """Whether an crash record may be left.

        That is so when a request for it failed or was carried out after its sender had gone, and when it was written
        while another receive of the same message was at work or on its way, which may have ended the message. Or the
        queue delivered the message once more, and so moved it, while the writer was at work: a sweep has ended it.
        """
        writers = self._record_writers.get(key, [])
        if not writers or {f"put {key}", f"delete {key}"} & self.unsure:
            return True
        receives = self._receives(writers[0].message.id)
        moved_at = self.moved_at.get(writers[0].message.id, -math.inf)
        if any(writer.arrived_at <= moved_at <= writer.busy_until for writer in writers):
            return True
        return any(_crossed(writer, one) for writer in writers for one in receives if one != writer)

    def _receives(self, message_id: str) -> list[Hold]:
        return [one for one in self._referee.attempts.values() if one.message.id == message_id]

    def check_uploads(self) -> None:
        """Check how each accepted upload has ended."""
        for key, kind in self.accepted.items():
            if key not in self.deleted:
                self._check_upload(key, kind)
        for key in self.deleted:
            self._check_deleted(key)
        for key, presets in self.replaced.items():
            self._check_upload(key, "good", presets)

    def _check_deleted(self, key: str) -> None:
        """Check that nothing is left of a deleted job but the tombstone, neither in the store nor as a dead letter."""
        job_id = keys.upload_id(key) or ""
        if self._services.read(keys.tombstone_key(job_id)) is None:
            self._referee.violated(f"nothing says that {key} was deleted")
        letters = [body for body in self._services.letter_bodies() if key in body]
        if any(json.loads(body).get("deletion") for body in letters):
            return  # it could not be brought to its end, and that is what says so
        asked = {one.message.id for one in self._referee.attempts.values() if key in one.message.body}
        left = [stored for stored in self._services.keys("") if job_id in stored]
        left += [kept for one in asked if self._services.read(kept := keys.failed_message_key(one)) is not None]
        if left:
            self._referee.violated(f"{key} was deleted, and is left: {left}")
        if letters:
            self._referee.violated(f"{key} was deleted, and there is a dead letter")

    def _check_upload(self, key: str, kind: str, presets: set[str] | None = None) -> None:
        record = self.manifest_of(key)
        assert record is not None
        original = self._services.read(key)
        if original is None:
            self._referee.violated(f"the original {key} is gone")
            return
        if record.status == "done" and presets_of(kind):
            self._check_presets(key, kind, record)
            return
        if kind == "good" and record.status == "done":
            self._check_done(key, original, record, presets)
            return
        if record.status == "done":
            self._referee.violated(f"{key} is done though it is {kind}")
        assert record.error is not None
        code, message_id = record.error.code, record.message_id or ""
        notes = [deadletter.decode(note) for _, note in self._services.letters()]
        if self._shape.dead_letters and not any(note and note.message_id == message_id for note in notes):
            self._referee.violated(f"{key} failed with {code}, and there is no dead letter that says so")
        if code not in EXPECTED.get(kind, set()) and not self._excused(code, message_id, record.receive_count or 0):
            self._referee.violated(
                f"{key} ({kind}) failed with {code} after {record.receive_count} receives: {record.error.message};"
                f" what was done to it: {self._referee.cuts[message_id]}"
            )

    def _check_done(self, key: str, original: bytes, record: Manifest, presets: set[str] | None) -> None:
        """Check that what is stored is of the original as it is now, and whole; a rendition here is its original."""
        holds = [one for one in self._referee.attempts.values() if key in one.message.body]
        notes = [deadletter.decode(note) for _, note in self._services.letters()]
        if {note.message_id for note in notes if note} & {hold.message.id for hold in holds}:
            return  # a dead letter says that something about it was not done
        if not _is_etag_of(record.source.etag, original) and f"put {keys.manifest_key(key)}" not in self.late:
            self._referee.violated(f"the manifest of {key} is not about the newest picture")
        for name, rendition in record.renditions.items():
            if self._services.read(rendition.key) != original and f"put {rendition.key}" not in self.late:
                self._referee.violated(f"the rendition {name} of {key} is not of the newest picture")
        # Two attempts that both look and then put may lose what the other has put.
        in_turn = all(hold.message.receive_count == 1 for hold in holds)
        if presets is not None and in_turn and not presets <= record.renditions.keys():
            self._referee.violated(f"the manifest of {key} has lost {presets - record.renditions.keys()}")

    def _check_presets(self, key: str, kind: str, record: Manifest) -> None:
        """Check that what can be made of an upload was made, and that nothing else is said to be."""
        failed, original = record.failed or {}, self._services.read(key)
        assert original is not None
        bad = bad_preset(original)
        if record.renditions.keys() | failed.keys() != set(PRESETS) or bad not in failed:
            self._referee.violated(f"of {key} ({kind}) {[*record.renditions]} were made, and not: {[*failed]}")
        for name, why in failed.items():
            message_id = record.message_id or ""
            # To whoever comes next, a receive that was cut off while its record was open has ended with its replica;
            # the third ending is the render of all presets together, which the bad one has killed.
            # So has one whose record could not be closed.
            cut_off = sum(one.ended_by is None for one in self._receives(message_id))
            cut_off += f"put {keys.crash_record_key(message_id)}" in self.unsure
            # At the last receive one is enough.
            enough = 1 if record.receive_count == self._shape.max_receive_count else 2
            excused = cut_off >= enough or self._excused(why.code, message_id, record.receive_count or 0)
            if why.code != "render-crashed" or not (name == bad or excused):
                self._referee.violated(f"{name} of {key} ({kind}) failed with {why.code}: {why.message}")

    def _excused(self, code: str, message_id: str, receive_count: int) -> bool:
        """Whether the faults were that bad.

        Attempts are used up when each receive that the redrive policy allows was. An image is taken for a poisonous one
        when two renders of it were killed, or three have ended by a kill, the death of the whole replica, or the
        loss of the lease: from outside these cannot be told from what such an image does.
        """
        if self._shape.kind == "deploys":
            return False
        if code in {"attempts-exhausted", "source-denied"}:
            return self._shape.max_receive_count is not None and receive_count >= self._shape.max_receive_count
        cuts = list(self._referee.cuts[message_id])
        if f"put {keys.crash_record_key(message_id)}" in self.unsure:
            cuts.append("record-unsure")  # one that was closed may have been opened again by a request that came late
        receives = self._receives(message_id)
        # The open record of a receive that is still at work reads like that of one that died.
        cuts += [
            "read-while-open" for one in receives if any(_crossed(one, other) for other in receives if other != one)
        ]
        return code == "render-crashed" and (cuts.count("child-killed") >= 2 or len(cuts) >= 3)


def _is_etag_of(etag: str | None, body: bytes) -> bool:
    """Whether one of the stores gives a body this ETag."""
    return etag in {hashlib.md5(body, usedforsecurity=False).hexdigest(), hashlib.sha256(body).hexdigest()}


def _crossed(one: Hold, other: Hold) -> bool:
    """Whether two receives of a message were at work at the same time, or arrived in the wrong order."""
    order = one.message.receive_count - other.message.receive_count
    if order * (one.arrived_at - other.arrived_at) < 0:
        return True
    return one.arrived_at <= other.busy_until and other.arrived_at <= one.busy_until
