"""The fields of an upload's form that say what is to become of the files behind them."""

from __future__ import annotations

from typing import Final

from thumbq.core.uploadoptions import UploadOptions
from thumbq.web.problems import HttpProblem, ProblemRaised

PRESETS: Final = "presets"
NAMES: Final = ("priority", "group", "tenant", PRESETS, "callback_url")
MAX_FIELD_BYTES: Final = 2048


class Fields:
    """Gathers the fields of one form. Other names than NAMES are none of them."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def add(self, name: str, content: bytes | None) -> None:
        """Take a field's content (None: it was too long). Raises ProblemRaised with what is wrong with it."""
        if content is None:
            raise _problem("field-too-large", f"The field {name} has more than {MAX_FIELD_BYTES:,} bytes.")
        try:
            text = content.decode().strip()
        except UnicodeDecodeError:
            raise _problem("invalid-field", f"The field {name} is not UTF-8.") from None
        if not text:
            raise _problem("invalid-field", f"The field {name} is empty: leave it out, or fill it in.")
        if name in self._texts and name != PRESETS:
            raise _problem("invalid-field", f"The field {name} is there twice; a form takes it once.")
        self._texts[name] = f"{self._texts[name]},{text}" if name in self._texts else text

    def asked(self) -> UploadOptions:
        """Return all that the fields ask for."""
        others = {name: text for name, text in self._texts.items() if name != PRESETS}
        presets = (name.strip() for name in self._texts.get(PRESETS, "").split(","))
        return UploadOptions(**others, presets=tuple(dict.fromkeys(filter(None, presets))))


def too_late(name: str) -> ProblemRaised:
    """Return the problem of a field that comes behind a file."""
    return _problem("field-after-file", f"Send the field {name} before the files that it is for.")


def _problem(code: str, detail: str) -> ProblemRaised:
    return ProblemRaised(HttpProblem(400, code, detail))
