"""Mistakes that the simulation has to find: each is a change of the worker's source, made when it is imported."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, ModuleType


@dataclass(frozen=True, slots=True)
class Mutation:
    """One mistake: in ``module`` the text ``old``, which is there exactly once, becomes ``new``.

    ``found_as`` is a part of what the referee says of it, within so many ``seeds`` from the ``first`` on.
    """

    name: str
    module: str
    old: str
    new: str
    found_as: str
    seeds: int = 200
    first: int = 0
    backend: str = "model"


class StaleMutation(Exception):
    """The text that a mutation changes is not there exactly once."""


class _Mutating(SourceFileLoader):
    def __init__(self, mutation: Mutation, path: str) -> None:
        super().__init__(mutation.module, path)
        self._mutation = mutation

    def get_code(self, fullname: str) -> CodeType:
        source = self.get_source(fullname) or ""
        if (times := source.count(self._mutation.old)) != 1:
            raise StaleMutation(f"{self._mutation.name}: the text is {times} times in {fullname}")
        return compile(source.replace(self._mutation.old, self._mutation.new), self.path, "exec", dont_inherit=True)


class _Finder(MetaPathFinder):
    def __init__(self, mutation: Mutation) -> None:
        self._mutation = mutation

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._mutation.module:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.origin is not None:
            spec.loader = _Mutating(self._mutation, spec.origin)
        return spec


def install(mutation: Mutation) -> None:
    """Have the mistake in the module from its first import on, which must not have been yet."""
    if mutation.module in sys.modules:
        raise StaleMutation(f"{mutation.module} is imported already")
    sys.meta_path.insert(0, _Finder(mutation))


_ACKS, _CONSUMER, _LEASE = (f"thumbq.worker.{name}" for name in ("acks", "consumer", "lease"))
_ATTEMPT = "thumbq.jobs.attempt"

MUTATIONS: Final = (
    Mutation(
        "the message is deleted before the manifest is put",
        _ATTEMPT,
        "return await self.manifests.write_done(self.job, self.findings, None, made, if_absent=True)\n",
        "return self.manifests._manifest(self.job, self.findings, None, made=made)\n",
        "deleted before its outcome was stored",
    ),
    Mutation(
        "a beat goes on after the disposition",
        _LEASE,
        "        self.state = LeaseState.CLOSING\n",
        "",
        "a beat after|two calls on one receipt at once|once more on",
    ),
    Mutation(
        "a failed entry of a batch counts as done",
        _ACKS,
        "                if result is not EntryResult.RETRY:\n                    break\n",
        "                break\n",
        "not tried again",
    ),
    Mutation(
        "a beat's deadline counts from its answer",
        _LEASE,
        "self.deadline = max(self.deadline, sent_at + timeout_s - self._margin_s)",
        "self.deadline = max(self.deadline, self._clock.monotonic() + timeout_s - self._margin_s)",
        "on a lease that ended",
    ),
    Mutation(
        "a receive's deadline has no margin",
        _LEASE,
        "self.deadline = received_at + timeout_s - self._margin_s",
        "self.deadline = received_at + timeout_s",
        "on a lease that ended",
    ),
    Mutation(
        "a lease is never lost at its deadline",
        _LEASE,
        "self.deadline <= self._clock.monotonic()",
        "self.deadline <= self._clock.monotonic() - 1e6",
        "on a lease that ended",
    ),
    Mutation(
        "a lost lease does not cancel the job",
        _LEASE,
        "        if self._scope is not None:\n            self._scope.cancel()\n",
        "",
        "on a lost lease|on a lease that ended|after the lease's end",
    ),
    Mutation(
        "the disposition does not wait for the beat in flight",
        _LEASE,
        "            await self._beat_ended.wait()\n",
        "            break\n",
        "two calls on one receipt at once",
    ),
    Mutation(
        "the last receive is released like any other",
        "thumbq.core.retry",
        "if max_receive_count is not None and receive_count >= max_receive_count:",
        "if max_receive_count is None and receive_count >= 1_000:",
        "the last receive was given back",
    ),
    Mutation(
        "a failed manifest is not written",
        "thumbq.jobs.manifestwriter",
        "failed = self._manifest(job, findings, previous, error=ErrorRecord(code=bury.code, message=bury.text))",
        "return None",
        "deleted before its outcome was stored",
    ),
    Mutation(
        "done work is made again",
        _ATTEMPT,
        "        if await self._is_done():\n",
        "        if self.job is None:\n",
        "rendered again",
    ),
    Mutation(
        "a manifest that is in the way is overwritten unseen",
        _ATTEMPT,
        "None, made, if_absent=True)",
        "None, made)",
        "has lost",
    ),
    Mutation(
        "the original is not looked at after its renditions are stored",
        _ATTEMPT,
        "        await self.look_for_tombstone()\n        await self._check_source()\n        return manifest\n",
        "        await self.look_for_tombstone()\n        return manifest\n",
        "not of the newest picture|not about the newest picture",
    ),
    Mutation(
        "a message that comes again is not looked back on",
        _ATTEMPT,
        "        if not self.job.looks_first:\n",
        "        if self.job:\n",
        "rendered again",
    ),
    Mutation(
        "what another message has done counts where an attempt may have put an older picture over it",
        "thumbq.jobs.findings",
        "return by_another and job.redelivered and",
        "return False and",
        "not of the newest picture",
        seeds=1500,
        first=1100,  # in the seeds before it is not found, which takes two minutes to see
    ),
    Mutation(
        "a buried message leaves no dead letter",
        "thumbq.jobs.burial",
        "            await self.copy(message, bury)\n",
        "            pass\n",
        "no dead letter that says so",
    ),
    Mutation(
        "a dead letter without a reason is removed",
        "thumbq.worker.deadlettersweep",
        "                await self._burial.copy(message, disposition)\n",
        "                pass\n",
        "no dead letter that says so",
    ),
    Mutation(
        "a place is not given back",
        _CONSUMER,
        "                self._receiver.give_back_place()\n",
        "                pass\n",
        "not settled|Stuck",
    ),
    Mutation(
        "a place is given back at once",
        "thumbq.worker.receiver",
        "            self._places.take()\n",
        "",
        "jobs at",
    ),
    Mutation(
        "a probe that fails is no outage",
        "thumbq.jobs.storehealth",
        "        self.outage = Outage(self.outage.since if self.outage else self._clock.wall(), error)\n"
        '        report_away("store.away", away_s=self._clock.wall() - self.outage.since, error=error)\n',
        "",
        "received though the probe",
    ),
    Mutation(
        "a crash record is never removed",
        "thumbq.jobs.poison",
        "        if self._stored:\n            await self.remove()\n",
        "        return\n",
        "is left",
    ),
    Mutation(
        "the local store removes the file that it has just put",
        "thumbq.local.store",
        "partial(self._blobs.remove, replaced)",
        "partial(self._blobs.remove, blob)",
        "is not there",
        seeds=60,
        backend="local",
    ),
    Mutation(
        "the local queue hands a message out once too often",
        "thumbq.local.messagetable",
        "if receive_count >= rules.max_receive_count:",
        "if receive_count > rules.max_receive_count:",
        "received more often",
        seeds=60,
        backend="local",
    ),
    Mutation(
        "the local database answers without having committed",
        "thumbq.local.database",
        '            connection.execute("COMMIT")\n        except',
        '            connection.execute("ROLLBACK")\n        except',
        "not settled|Stuck",
        seeds=60,
        backend="local",
    ),
    Mutation(
        "presets that kill a render are never made apart",
        "thumbq.jobs.recordedrender",
        "            if crashes.record.quarantined and len(presets) > 1:\n",
        "            if crashes.record.poison and len(presets) > 1:\n",
        "crashing-preset. failed with render-crashed",
    ),
    Mutation(
        "nobody remembers which preset was rendered when its replica ended",
        "thumbq.core.crashrecord",
        '"rendering": preset}',
        '"rendering": None}',
        "killing-preset. failed with render-crashed",
    ),
    Mutation(
        "quarantined jobs render side by side",
        "thumbq.jobs.poison",
        "    if not history.record.quarantined:\n",
        "    if history is not None:\n",
        "two quarantined jobs at once",
        seeds=400,
    ),
    Mutation(
        "who takes a claim over gives the files other ids",
        "thumbq.intake.claims",
        "        record = (found if counts else mine).model_copy(update=claimed)\n",
        "        record = mine.model_copy(update=claimed)\n",
        "an upload under one key",
    ),
    Mutation(
        "who takes a claim over spreads its keys as its own setting says",
        "thumbq.intake.claims",
        "        record = (found if counts else mine).model_copy(update=claimed)\n",
        "        record = found.model_copy(update=dict(claimed, key_prefixes=self._key_prefixes))\n",
        "an upload under one key",
    ),
    Mutation(
        "an original that an earlier try has stored gets another id",
        "thumbq.intake.keyedupload",
        "        upload_id = record.id_of(number, file.fingerprint)\n",
        "        upload_id = record.id_of(number + record.generation, file.fingerprint)\n",
        "an upload under one key",
    ),
    Mutation(
        "a deletion does not wait for attempts that are under way",
        "thumbq.deletion.tombstones",
        "left_s = max(0.0, HOLD_S - self.age_s(tombstone))",
        "left_s = 0.0",
        "was deleted, and is left",
    ),
    Mutation(
        "an attempt at a deleted job does not look for a tombstone",
        "thumbq.jobs.deletions",
        "if await resources.tombstones.find(job_id) is not None:",
        "if False:",
        "was deleted, and",
    ),
    Mutation(
        "the dead letters of a deleted job stay",
        "thumbq.jobs.deletions",
        "all([await each.remove(source.key, ended=ended) for each in self._dead_letters])",
        "True",
        "was deleted, and there is a dead letter",
    ),
)
