"""The fields of a form that are options of the files behind them."""

from __future__ import annotations

from typing import Final

from thumbq.core.uploadoptions import UploadOptions
from thumbq.errors import UploadRefused

PRESETS: Final = "presets"
NAMES: Final = ("priority", "group", "tenant", PRESETS, "callback_url")
MAX_FIELD_BYTES: Final = 2048


class Fields:
    """Gathers the fields of one form that are named in NAMES."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def add(self, name: str, content: bytes | None, charset: str) -> None:
        """Take a field's content in this encoding; None when it is too long. Raises UploadRefused for what is wrong."""
        if content is None:
            raise UploadRefused("field-too-large", f"The field {name} has more than {MAX_FIELD_BYTES:,} bytes.")
        try:
            text = content.decode(charset).strip()
        except UnicodeDecodeError:
            raise UploadRefused("invalid-field", f"The field {name} is not {charset.upper()}.") from None
        if not text:
            raise UploadRefused("invalid-field", f"The field {name} is empty: leave it out, or fill it in.")
        if name in self._texts and name != PRESETS:
            raise UploadRefused("invalid-field", f"The field {name} is there twice; a form takes it once.")
        self._texts[name] = f"{self._texts[name]},{text}" if name in self._texts else text

    def options(self) -> UploadOptions:
        """Return the options that all fields together give."""
        others = {name: text for name, text in self._texts.items() if name != PRESETS}
        presets = (name.strip() for name in self._texts.get(PRESETS, "").split(","))
        return UploadOptions(**others, presets=tuple(dict.fromkeys(filter(None, presets))))
