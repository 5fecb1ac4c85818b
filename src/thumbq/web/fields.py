"""The fields that are options of uploads: in a form, for the files behind them, or in a query."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from thumbq.core.jobdocument import Absent
from thumbq.core.jobmetadata import MAX_BYTES, NAME_PATTERN, JobMetadata
from thumbq.core.uploadoptions import UploadOptions
from thumbq.errors import UploadRefused

PRESETS: Final = "presets"
FILE: Final = "file"
"""The name of a part that is a file."""

MAX_FIELD_BYTES: Final = 2048

File = Annotated[bytes, WithJsonSchema({"type": "string", "format": "binary"})]
"""The bytes of a file, in forms."""

_Text = Annotated[str, Field(min_length=1, max_length=MAX_FIELD_BYTES)]


class UploadOptionsFields(BaseModel):
    """What may be said of an upload."""

    priority: _Text | Absent = Field(default=None, description="Name of a queue.")
    group: _Text | Absent = Field(default=None, description="Message group, on a FIFO queue.")
    tenant: _Text | Absent = Field(default=None, description="Whose file it is, for fair queues.")
    presets: _Text | Absent = Field(default=None, description="Names of presets, with commas between them.")
    callback_url: _Text | Absent = Field(default=None, description="Address that is told of the outcome.")


_NAMES: Final = tuple(UploadOptionsFields.model_fields)
_METADATA: Final = re.compile(r"metadata\[(.*)\]", re.DOTALL)


class UploadForm(UploadOptionsFields):
    """A form with files. All other fields come before them, and hold for all of them.

    A field `metadata[NAME]` is kept and told with the job.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "patternProperties": {
                rf"^metadata\[{NAME_PATTERN}\]$": {"type": "string", "minLength": 1, "maxLength": MAX_BYTES}
            },
            # What is so anyway; without it openapi-typescript has all members be texts, `file` too.
            "additionalProperties": True,
        }
    )

    file: list[File] = Field(min_length=1, description="The images.")


class UploadQuery(UploadOptionsFields):
    """The fields of an upload whose body is the file."""

    metadata: JobMetadata | Absent = None


def is_option(name: str) -> bool:
    """Whether a field is an option of an upload."""
    return name in _NAMES or _METADATA.fullmatch(name) is not None


NAMES_FOR_PEOPLE: Final = f"{', '.join(_NAMES)} and metadata[NAME]"


class Fields:
    """Gathers fields that are options."""

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
            raise UploadRefused("invalid-field", f"The field {name} is there twice; it is taken once.")
        self._texts[name] = f"{self._texts[name]},{text}" if name in self._texts else text

    def options(self) -> UploadOptions:
        """Return the options that all fields together give."""
        others = {name: text for name, text in self._texts.items() if name in _NAMES and name != PRESETS}
        metadata = {found[1]: text for name, text in self._texts.items() if (found := _METADATA.fullmatch(name))}
        presets = (name.strip() for name in self._texts.get(PRESETS, "").split(","))
        names = tuple(dict.fromkeys(filter(None, presets)))
        return UploadOptions(**others, presets=names, metadata=metadata)
