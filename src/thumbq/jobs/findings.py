"""What an attempt knows of its original, and what follows from it and an earlier manifest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from thumbq.core import jobmetadata
from thumbq.core.manifest import TimesRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thumbq.core.manifest import Manifest
    from thumbq.core.preset import Preset
    from thumbq.jobs.delivery import Job
    from thumbq.ports import ObjectInfo, Rendered


UNKNOWN_TIMES: Final = TimesRecord()


@dataclass(frozen=True, slots=True)
class Findings:
    """What one attempt has found out so far. Each step of it gives a new value.

    ``presets`` and ``callback_url`` are as in ResolvedPresets. ``head_etag`` is the original's ETag when only a HEAD
    was made, ``info`` what came with its bytes, ``rendered`` what the render has found. ``source_gone``: there is no
    original any more. ``times`` is how long each part has taken so far. ``sender_said`` is the original's
    metadata, for the record, where its bytes have not come.
    """

    presets: tuple[Preset, ...] = ()
    callback_url: str | None = None
    head_etag: str | None = None
    source_gone: bool = False
    info: ObjectInfo | None = None
    rendered: Rendered | None = None
    times: TimesRecord = UNKNOWN_TIMES
    sender_said: Mapping[str, str] | None = None

    def of_original(self, etag: str) -> Findings:
        """Return them when the original has this ETag now: what is known of another one is forgotten."""
        now = replace(self, head_etag=etag)
        return now if now.info is None or now.info.etag == etag else replace(now, info=None, rendered=None)

    def after(self, **seconds: float) -> Findings:
        """Return them with how long a part of the attempt took: a member of ``times`` and its seconds."""
        rounded = {name: round(value, 4) for name, value in seconds.items()}
        return replace(self, times=self.times.model_copy(update=rounded))

    @property
    def metadata(self) -> dict[str, str] | None:
        """The sender's own metadata; None when there is none, or none is known."""
        found = self.sender_said if self.info is None else self.info.metadata
        return None if found is None else jobmetadata.decode(found)

    @property
    def etag(self) -> str | None:
        """The ETag of the original as this attempt has seen it; None when it has not."""
        return self.info.etag if self.info else self.head_etag

    def are_met_by(self, previous: Manifest | None, job: Job) -> bool:
        """Whether a manifest says done, and has all presets of the original as it is now.

        Those that failed for good count as done for the message whose attempt it was; another message tries again, as
        limits may be others by now.

        A removed original counts as the one that the manifest knows, and so do the presets that its metadata named. Of
        a job that makes all anew only what its own message has made counts.
        """
        if previous is None or previous.status != "done":
            return False
        own = previous.message_id == job.message.id
        if job.request.rerender == "all" and not own and not self.source_gone:
            return False
        if not self.presets:
            return self.source_gone
        etag = previous.source.etag if self.source_gone else self.etag
        wanted = {preset.name: preset.fingerprint for preset in self.presets}
        settled = previous.settled if own else previous.current
        return wanted.keys() <= set(settled(etag=etag, fingerprints=wanted))

    def doubt(self, previous: Manifest | None, job: Job) -> bool:
        """Whether what a manifest says may not be what is stored.

        An earlier attempt at this job may have put an older picture over the one that another message has made, and
        have ended before its manifest was put.
        """
        by_another = previous is not None and previous.message_id != job.message.id
        return by_another and job.redelivered and job.replaceable and not self.source_gone

    def leave_alone(self, previous: Manifest | None) -> bool:
        """Whether a manifest says done, and this attempt knows of nothing else.

        That is no other original, or the same one of which the manifest says for each preset what has become of it.
        """
        if previous is None or previous.status != "done":
            return False
        wanted = {preset.name: preset.fingerprint for preset in self.presets}
        if wanted and wanted.keys() <= previous.settled(etag=self.etag, fingerprints=wanted):
            return True
        if self.info is not None:
            return False
        return self.etag is None or self.etag == previous.source.etag
