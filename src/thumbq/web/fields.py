"""The fields of a form that are options of the files behind them."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, Field, WithJsonSchema

from thumbq.core.uploadoptions import UploadOptions
from thumbq.errors import UploadRefused

PRESETS: Final = "presets"
FILE: Final = "file"
"""The name of a part that is a file."""

MAX_FIELD_BYTES: Final = 2048

File = Annotated[bytes, WithJsonSchema({"type": "string", "format": "binary"})]
"""The bytes of a file, in forms."""

_Text = Annotated[str, Field(min_length=1, max_length=MAX_FIELD_BYTES)]


class UploadForm(BaseModel):
    """A form with files. All other fields come before them, and hold for all of them."""

    priority: _Text | None = Field(default=None, description="Name of a queue.")
    group: _Text | None = Field(default=None, description="Message group, on a FIFO queue.")
    tenant: _Text | None = Field(default=None, description="Whose file it is, for fair queues.")
    presets: _Text | None = Field(default=None, description="Names of presets, with commas between them.")
    callback_url: _Text | None = Field(default=None, description="Address that is told of the outcome.")
    file: list[File] = Field(min_length=1, description="The images.")


NAMES: Final = tuple(name for name in UploadForm.model_fields if name != FILE)


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
