"""Settings: where they come from, and that everything wrong is said at once with its fix."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from support import documents, tables
from support.documents import OPERATIONS, PRESETS, README, SETTINGS
from thumbq.errors import SetupError
from thumbq.settings import Settings, load


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("THUMBQ_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def problems(**overrides: Any) -> list[str]:
    with pytest.raises(SetupError) as wrong:
        load(**overrides)
    assert all(problem.fix for problem in wrong.value.problems)
    return [problem.what for problem in wrong.value.problems]


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("thumbq.toml").write_text('port = 1\nwait_time_s = 1\nhost = "a"\n')
    monkeypatch.setenv("THUMBQ_PORT", "2")
    monkeypatch.setenv("THUMBQ_WAIT_TIME_S", "2")
    settings = load(port=3, host=None)
    assert (settings.port, settings.wait_time_s, settings.host) == (3, 2, "a")


def test_a_file_may_begin_with_a_byte_order_mark() -> None:
    Path("thumbq.toml").write_text("\ufeffport = 1\n")
    assert load().port == 1


def test_a_file_may_have_the_names_in_capitals(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("thumbq.toml").write_text("PORT = 1\nMax_Scans = 7\n")
    assert (load().port, load().max_scans) == (1, 7)
    monkeypatch.setenv("THUMBQ_PORT", "2")
    assert load().port == 2


def test_everything_that_is_wrong_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THUMBQ_PORTT", "1")
    monkeypatch.setenv("THUMBQ_VISIBILITY_TIMEOUT_S", "50000")
    monkeypatch.setenv("THUMBQ_PRESETS", "{}")
    Path("thumbq.toml").write_text("prot = 1\n[presets.card]\nwidht = 640\n")
    said = "\n".join(problems())
    for part in (
        "THUMBQ_PORTT is no setting of thumbq; did you mean THUMBQ_PORT?",
        "THUMBQ_VISIBILITY_TIMEOUT_S = '50000': Input should be less than or equal to 43200",
        "THUMBQ_PRESETS cannot be a variable",
        "prot is no setting; did you mean port?",
        "presets.card.widht is no setting; did you mean width?",
    ):
        assert part in said


def test_settings_that_do_not_agree_are_told_beside_those_that_are_wrong_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THUMBQ_PORT", "99999")
    monkeypatch.setenv("THUMBQ_BUCKET", "b")
    Path("thumbq.toml").write_text(
        '[[routes]]\nprefix = "a/"\npresets = ["none"]\n[[routes]]\nprefix = "thumbnail/"\npresets = ["thumbnail"]\n'
    )
    port, *others = problems()
    assert port.startswith("THUMBQ_PORT = '99999'")
    assert [what.partition(":")[0] for what in others] == [
        "THUMBQ_QUEUE is missing",
        "the route 'a/' names no preset",
        "the route 'thumbnail/' lies under thumbq's own outputs, which are never sources",
    ]


@pytest.mark.parametrize(
    "toml",
    [
        'bucket = 3\nqueue = "q"',
        'wait_time_s = 99\nshutdown_deadline_s = 5\nbucket = "b"\nqueue = "q"',
        '[presets.card]\nwidht = 1\n[[routes]]\nprefix = "a/"\npresets = ["card"]',
    ],
)
def test_what_only_follows_from_another_fault_is_not_told(toml: str) -> None:
    Path("thumbq.toml").write_text(toml)
    assert all(
        what.startswith(("thumbq.toml: bucket", "thumbq.toml: wait", "thumbq.toml: presets")) for what in problems()
    )


def test_a_file_that_cannot_be_read_is_told_with_what_is_wrong_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("thumbq.toml").write_bytes(b'bucket = "\xff"')
    monkeypatch.setenv("THUMBQ_QUEUE", "q")
    monkeypatch.setenv("THUMBQ_PORT", "99999")
    assert [what.partition(" ")[0] for what in problems()] == ["thumbq.toml", "THUMBQ_PORT"]


def test_a_settings_file_that_cannot_be_opened_is_refused() -> None:
    Path("thumbq.toml").mkdir()
    assert problems() == ["cannot read thumbq.toml: Is a directory"]
    Path("round.toml").symlink_to("round.toml")
    assert problems(config="round.toml") == ["cannot read round.toml: Too many levels of symbolic links"]


def test_a_bad_value_is_told_with_the_source_that_it_stands_in(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("thumbq.toml").write_text('bucket = 3\nport = "a"\nwait_time_s = 99')
    monkeypatch.setenv("THUMBQ_WAIT_TIME_S", "98")
    said = {what.rpartition(":")[0] for what in problems(port=-1)}
    assert said == {"thumbq.toml: bucket = 3", "--port = -1", "THUMBQ_WAIT_TIME_S = '98'"}


def test_a_variable_in_lower_case_is_none_of_thumbqs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("thumbq_port", "1")
    monkeypatch.setenv("Thumbq_Colour", "red")
    assert load().port == 8080


def test_an_empty_variable_is_unset_and_an_empty_directory_on_the_command_line_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("THUMBQ_LOCAL", "")
    assert load().local is None
    assert problems(local="") == ["--local = '': it is empty: name a directory"]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"THUMBQ_BUCKET": "b"}, "THUMBQ_QUEUE is missing"),
        ({"THUMBQ_QUEUE": "q"}, "THUMBQ_BUCKET is missing"),
        ({"THUMBQ_LOCAL": "d", "THUMBQ_BUCKET": "b", "THUMBQ_QUEUE": "q"}, "exclude each other"),
        (
            {"THUMBQ_BUCKET": "b", "THUMBQ_QUEUE": "q", "THUMBQ_SHUTDOWN_DEADLINE_S": "10"},
            "a long poll of 20 s does not end within a shutdown of 10 s",
        ),
        ({"THUMBQ_CONFIG": "nowhere.toml"}, "there is no settings file nowhere.toml"),
    ],
)
def test_settings_that_do_not_agree_are_refused(
    variables: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert said in "\n".join(problems())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("THUMBQ_PORT", "tcp://10.0.0.1:8080"),
        ("THUMBQ_SERVICE_HOST", "10.0.0.1"),
        ("THUMBQ_SERVICE_PORT_HTTP", "80"),
        ("THUMBQ_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("THUMBQ_WEB_PORT", "tcp://10.0.0.1:80"),
        ("THUMBQ_WEB_SERVICE_PORT", "80"),
    ],
)
def test_what_kubernetes_injects_for_services_is_ignored(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert load().port == 8080


def test_the_longest_route_that_fits_says_which_presets() -> None:
    Path("thumbq.toml").write_text(
        '[presets.card]\nwidth = 640\n[[routes]]\nprefix = "uploads/"\npresets = ["card"]\n'
        '[[routes]]\nprefix = "uploads/x"\npresets = ["card", "thumbnail"]\n'
    )
    settings = load()
    assert [preset.name for preset in settings.catalog.presets_for("uploads/x1")] == ["card", "thumbnail"]
    assert [preset.name for preset in settings.catalog.presets_for("uploads/y")] == ["card"]
    assert [preset.name for preset in settings.catalog.presets_for("cat.png")] == ["thumbnail"]
    assert settings.catalog.is_output("card/a.jpg")
    assert settings.catalog.is_output("manifests/a.json")
    assert not settings.catalog.is_output("uploads/a")


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ('[[routes]]\nprefix = "a/"\npresets = ["thumbnial"]', "names no preset: thumbnial; did you mean thumbnail?"),
        ('[[routes]]\nprefix = "thumbnail/"\npresets = ["thumbnail"]', "never sources"),
        ("[presets.Big]\nwidth = 1", "no preset name"),
        ("[presets]\nbig = 1", "presets.big: Input should be a table"),
        ('[presets.big]\nwidth = 1\nname = "x"', "presets.big: the table has its name in its heading: leave name out"),
        ("[presets.big]\nfit = 'contain'", "presets.big: give width, height or both"),
        ("port = ", "no valid TOML"),
        ('config = "other.toml"', "config is no setting of a file"),
        (
            '[presets.a]\nwidth = 1\nkey = "x/{name}.{ext}"\n[presets.b]\nwidth = 2\nkey = "x/{name}.jpg"',
            "the presets a and b write the same key, 'x/{name}.jpg'",
        ),
    ],
)
def test_a_faulty_file_is_refused_with_the_place_of_the_fault(toml: str, said: str) -> None:
    Path("thumbq.toml").write_text(toml)
    assert said in "\n".join(problems())


@pytest.mark.parametrize(
    ("prefix", "days", "least"),
    [
        ("uploads/", 17, 18),
        ("manifests/", 17, 18),
        ("attempts/", 1, 18),
        ("", 17, 18),
        ("thumb", 1, 18),  # originals may lie there, too
        ("thumbnail/", 0, 1),
        ("presigned/", 7, 8),
    ],
)
def test_what_is_still_needed_is_not_removed(prefix: str, days: int, least: int) -> None:
    Path("thumbq.toml").write_text(f'local = "data"\n[retention]\n"{prefix}" = {days}')
    said = "\n".join(problems())
    assert (f"{least} days" if days else "greater than or equal to 1") in said
    Path("thumbq.toml").write_text(f'local = "data"\n[retention]\n"{prefix}" = {least}')
    assert load().retention == {prefix: least}


@pytest.mark.parametrize("value", ['"30d"', "1.5", "true", "40000"])
def test_a_retention_is_whole_days(value: str) -> None:
    Path("thumbq.toml").write_text(f'local = "data"\n[retention]\n"uploads/" = {value}')
    assert "retention.uploads/" in "\n".join(problems())


def test_the_documented_retention_is_one_that_works() -> None:
    Path("thumbq.toml").write_text('local = "data"\n' + documents.example(OPERATIONS, "Retention", "toml"))
    assert load().retention["failed-messages/"] == 30


def test_the_document_has_every_setting_as_the_code_has_it() -> None:
    assert tables.of_settings() in documents.text(SETTINGS), tables.of_settings()


def test_the_document_has_every_option_of_a_preset_as_the_code_has_it() -> None:
    assert tables.of_preset() in documents.text(PRESETS), tables.of_preset()


@pytest.mark.parametrize(("document", "heading"), [(README, "Configuration"), (PRESETS, "Routes")])
def test_the_documented_settings_files_are_ones_that_work(
    document: str, heading: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("thumbq.toml").write_text(documents.example(document, heading, "toml"))
    monkeypatch.setenv("THUMBQ_BUCKET", "photos")
    monkeypatch.setenv("THUMBQ_QUEUE", "jobs")
    settings = load()
    card = settings.presets["card"]
    assert (card.width, card.format) == (640, "auto")
    assert settings.routes[0].prefix == "uploads/"
    assert list(settings.routes[0].presets) == ["thumbnail", "card"]


@pytest.mark.parametrize(
    ("recipe", "fault"),
    [
        ({}, "give width, height or both"),
        ({"width": 1, "fit": "fill"}, "give width and height"),
        ({"width": 1, "fit": "cover"}, "give width and height"),
        ({"width": 1, "fit": "none"}, "leave out width and height"),
        ({"width": 1, "gravity": "north"}, "they mean nothing here"),
        ({"width": 1, "height": 1, "fit": "cover", "gravity": "north", "focal_point": [0, 0]}, "exclude each other"),
        ({"width": 1, "height": 1, "fit": "cover", "focal_point": [0, 2]}, "less than or equal to 1"),
        ({"width": 1, "lossless": True}, "not lossless"),
        ({"width": 1, "format": "avif", "lossless": True}, "not lossless"),
        ({"width": 1, "animated": True}, "cannot be animated"),
        ({"width": 1, "format": "webp", "progressive": True}, "progressive is for JPEG"),
        ({"width": 1, "format": "png", "chroma": "4:4:4"}, "chroma is for JPEG and AVIF"),
        ({"width": 1, "key": "manifests/{name}"}, "which thumbq keeps for itself"),
        ({"width": 1, "key": "../../x/{name}.{ext}"}, "has a segment that is empty, . or .."),
        ({"width": 16_384}, "less than or equal to 16383"),
        ({"width": True}, "width: Input should be a valid integer"),
        ({"width": 1, "quality": "80"}, "quality: Input should be a valid integer"),
        ({"width": 1, "sharpen": 1e2}, "sharpen: Input should be a valid integer"),
        ({"width": 1, "progressive": 1}, "progressive: Input should be a valid boolean"),
        ({"width": 1, "height": 1, "fit": "cover", "focal_point": ["0", 1]}, "Input should be a valid number"),
        ({"width": 1, "height": 1, "fit": "cover", "focal_point": 1}, "focal_point: Input should be a list"),
        ({"width": 1, "effort": 9}, "effort is for PNG, WebP and AVIF"),
        ({"width": 1, "height": 1, "fit": "fill", "enlarge": False}, 'enlarge is for fit = "contain" and "cover"'),
        ({"fit": "none", "enlarge": True}, 'enlarge is for fit = "contain" and "cover"'),
        ({"width": 1, "format": "webp", "background": "#ffffff"}, "background is for JPEG"),
        ({"width": 1, "format": "auto", "background": "#000000"}, "background is for JPEG"),
        ({"width": 1, "format": "png", "quality": 80}, "it means nothing for lossless png"),
        ({"width": 1, "format": "webp", "lossless": True, "quality": 80}, "it means nothing for lossless webp"),
        ({"fit": "none", "embedded_thumbnail": True}, "embedded_thumbnail means nothing"),
    ],
)
def test_a_fault_in_a_preset_is_said_with_its_name(recipe: dict[str, object], fault: str) -> None:
    table = "".join(f"{name} = {json.dumps(value)}\n" for name, value in recipe.items())
    Path("thumbq.toml").write_text(f"[presets.odd]\n{table}")
    with pytest.raises(SetupError) as raised:
        load()
    (problem,) = raised.value.problems
    assert problem.what.startswith("thumbq.toml: presets.odd")
    assert fault in problem.what


@pytest.mark.parametrize(
    "recipe",
    [
        {"width": 1, "format": "png", "lossless": True, "effort": 9},
        {"width": 1, "format": "webp", "quality": 70, "effort": 0},
        {"width": 1, "format": "auto", "quality": 70, "effort": 9, "lossless": True, "progressive": True},
        {"width": 1, "height": 1, "fit": "cover", "focal_point": [0, 0.5], "enlarge": True, "background": "#000000"},
    ],
)
def test_an_option_that_some_file_of_the_preset_uses_is_taken(recipe: dict[str, object]) -> None:
    table = "".join(f"{name} = {json.dumps(value)}\n" for name, value in recipe.items())
    Path("thumbq.toml").write_text(f"[presets.good]\n{table}")
    load()


def test_a_preset_of_a_bad_name_hides_no_other_fault() -> None:
    Path("thumbq.toml").write_text(
        'port = "a"\n[presets."Bad Name"]\nwidht = 1\n[presets.card]\nwidth = 0\n[presets.twice]\nname = "x"\nwidth = 1'
    )
    assert [what.removeprefix("thumbq.toml: ").partition(":")[0] for what in problems()] == [
        "port = 'a'",
        "presets.Bad Name",
        "presets.Bad Name.widht is no setting; did you mean width?",
        "presets.card.width",
        "presets.twice",
    ]


def test_the_presets_of_the_three_articles_are_there_without_settings() -> None:
    presets = load().presets
    stretched, jpgfiles = presets["stretched"], presets["jpgfiles"]
    assert (stretched.width, stretched.height, stretched.fit, stretched.format) == (100, 100, "fill", "jpeg")
    assert (jpgfiles.fit, jpgfiles.rendition_key("pngfiles/sampleImage.png")) == ("none", "jpgfiles/sampleImage.jpg")
    assert all(field.description for field in Settings.model_fields.values())
