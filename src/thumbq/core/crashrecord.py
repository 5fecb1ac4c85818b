"""The crash record: what the store remembers of a job whose renders were killed."""

from __future__ import annotations

from typing import ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict

from thumbq.core.record import StoredRecord

MAX_KILLS: Final = 2
"""A message is poison once so many of its renders were killed."""

MAX_ENDINGS: Final = 3
"""It is poison, too, once so many of its attempts ended by a kill or with the death of the whole replica.

One of those may have had another reason: a replica that is killed takes innocent renders along.
"""


_CODE: Final = "render-crashed"
_TEXT: Final = "the process that rendered it ended, and nothing says why"


class PresetCrashes(BaseModel):
    """The same of the renders in which a preset was made alone."""

    model_config = ConfigDict(frozen=True)

    kills: int = 0
    vanished: int = 0
    code: str = _CODE
    text: str = _TEXT


class CrashRecord(StoredRecord):
    """How often a job's render was killed, and how often its replica vanished while it rendered.

    A record that is found ``open`` is of such a replica: nobody was left to record how the attempt ended. ``rendering``
    is the preset that it made alone then, ``presets`` what has ended such renders; None where there were none.
    """

    OMITS_NONE: ClassVar[bool] = True

    version: Literal[1] = 1
    kills: int = 0
    vanished: int = 0
    open: bool = False
    code: str = _CODE
    text: str = _TEXT
    rendering: str | None = None
    presets: dict[str, PresetCrashes] | None = None

    @property
    def quarantined(self) -> bool:
        """Whether the next attempt renders beside no other quarantined job."""
        return self.endings > 0

    @property
    def poison(self) -> bool:
        """Whether there is no further attempt."""
        return self.kills >= MAX_KILLS or self.endings >= MAX_ENDINGS

    @property
    def endings(self) -> int:
        """How many renders have ended with their process or replica."""
        return self.kills + self.vanished

    def of(self, preset: str) -> CrashRecord:
        """Return the record of one preset: what has ended renders of all presets, and what has ended its own."""
        if preset not in (self.presets or {}):
            return self.model_copy(update={"presets": None})
        alone = self._alone(preset)
        kills, vanished = self.kills + alone.kills, self.vanished + alone.vanished
        return CrashRecord(kills=kills, vanished=vanished, code=alone.code, text=alone.text)

    def rules_out(self, preset: str, *, last_receive: bool) -> bool:
        """Whether a preset is not made any more.

        At the last receive that is so, too, when it may have ended a replica: nobody would be left to say what is made.
        """
        return self.of(preset).poison or (last_receive and self._alone(preset).vanished > 0)

    def leaves_open(self, preset: str) -> bool:
        """Whether a preset has ended renders, and not yet so many that it is not made any more."""
        return preset in (self.presets or {}) and not self.of(preset).poison

    def opened(self, preset: str | None) -> CrashRecord:
        """Return the record while a render is under way: of ``preset`` alone, or of all."""
        return self.model_copy(update={"open": True, "rendering": preset})

    def found(self) -> CrashRecord:
        """Return what a record means to the one who finds it."""
        closed = self.model_copy(update={"open": False, "rendering": None})
        if not self.open:
            return closed
        if self.rendering is None:
            return closed.model_copy(update={"vanished": self.vanished + 1})
        alone = self._alone(self.rendering)
        more = PresetCrashes(kills=alone.kills, vanished=alone.vanished + 1)
        return closed.model_copy(update={"presets": {**(self.presets or {}), self.rendering: more}})

    def killed(self, code: str, text: str, *, preset: str | None = None) -> CrashRecord:
        """Return the record after a render was killed: of ``preset`` alone, or of all."""
        if preset is None:
            return self.model_copy(update={"kills": self.kills + 1, "code": code, "text": text})
        alone = self._alone(preset)
        more = PresetCrashes(kills=alone.kills + 1, vanished=alone.vanished, code=code, text=text)
        return self.model_copy(update={"presets": {**(self.presets or {}), preset: more}})

    def _alone(self, preset: str) -> PresetCrashes:
        return (self.presets or {}).get(preset, PresetCrashes())
