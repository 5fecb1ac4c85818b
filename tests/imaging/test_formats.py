from __future__ import annotations

import pytest

from support import documents, tables
from thumbq.core.formats import OUTPUTS, ImageFormat
from thumbq.core.preset import Preset
from thumbq.imaging.formats.registry import INPUT_FORMATS, OUTPUT_FORMATS


def test_each_declared_format_has_its_part_of_the_imaging() -> None:
    assert set(INPUT_FORMATS) == set(ImageFormat)
    assert set(OUTPUT_FORMATS) == set(OUTPUTS)


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_preset_can_ask_for_each_format_that_is_written(name: str) -> None:
    preset = Preset.model_validate({"name": "p", "width": 16, "format": name})
    assert preset.rendition_key("uploads/cat") == f"p/cat.{OUTPUTS[name].extension}"


def test_the_documentation_has_the_table_of_formats() -> None:
    assert tables.of_formats() in documents.text(documents.IMAGES), tables.of_formats()
