"""What the documents promise about themselves: links lead somewhere, a test runs each example, names exist."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

import click
import pytest

from support import documents
from support.documents import (
    ACCESS,
    ALL,
    BENCHMARK,
    CALLBACKS,
    COMMANDS,
    COMPARISON,
    DEPLOY,
    EVENTS,
    HTTP,
    IMAGES,
    KUBERNETES,
    LAMBDA,
    MANIFEST,
    MESSAGES,
    OPERATIONS,
    PRESETS,
    PRESIGNED_UPLOADS,
    QUEUES,
    README,
    RETRIES,
    ROOT,
    SCALE,
    UPLOADS,
    UPPY,
    WAITING,
)
from thumbq import docs
from thumbq.cli import main
from thumbq.core.formats import ImageFormat
from thumbq.core.retry import CALLBACK_CODES, CUSTOMERS_CODES, JOB_CODES
from thumbq.errors import JobFailed, SourceDenied
from thumbq.ports.rendering import NotMadeCode
from thumbq.settings import Settings
from thumbq.settings.model import PREFIX
from thumbq.web.problems import STATUSES
from thumbq.web.routes import ROUTES
from thumbq.web.trying import UNMADE

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS_OF_README: Final = (
    "tests/e2e/test_documents.py::test_the_first_command_serves_from_nothing_and_all_others_work_beside_it"
)
SETTINGS_FILES: Final = "tests/unit/test_settings.py::test_the_documented_settings_files_are_ones_that_work"
MESSAGE_FORMS: Final = (
    "tests/worker/test_message_forms.py::test_the_documented_examples_are_what_the_document_says_they_are"
)
LAMBDA_BUILD: Final = (
    "tests/awslambda/test_build.py::test_its_document_names_the_build_and_parameters_that_the_template_has"
)

OLDER_DATABASE: Final = "tests/e2e/test_local_directory.py::test_an_older_database_put_back_as_documented_costs_nothing"

TOKENS: Final = "tests/e2e/test_documents.py::test_the_documented_tokens_are_made_taken_and_replaced_without_a_gap"

CALLBACK_COMMANDS: Final = (
    "tests/e2e/test_callbacks.py::test_the_documented_endpoint_takes_what_the_documented_commands_send_again"
)

EVENT_EXAMPLES: Final = (
    "tests/aws/test_event_examples.py::test_the_documented_commands_bring_a_topics_and_a_bus_events_where_they_say"
)

UPPY_RECIPES: Final = (
    "tests/clients/test_uppy.py::test_twelve_files_are_done_and_a_refused_one_is_sent_once_and_says_why"
)

CHECKED_BY: Final = {
    (README, "Start", "sh"): COMMANDS_OF_README,
    (README, "Upload, look, fetch", "sh"): COMMANDS_OF_README,
    (README, "Upload, look, fetch", "json"): COMMANDS_OF_README,
    (README, "S3 and SQS on this machine", "sh"): (
        "tests/e2e/test_documents.py::test_the_section_on_s3_and_sqs_works_line_by_line"
    ),
    (README, "Configuration", "toml"): SETTINGS_FILES,
    (UPLOADS, "Files", "sh"): COMMANDS_OF_README,
    (UPLOADS, "Files", "json"): COMMANDS_OF_README,
    (UPLOADS, "Without a form", "sh"): COMMANDS_OF_README,
    (WAITING, "Waiting", "sh"): COMMANDS_OF_README,
    (RETRIES, "Retries", "sh"): COMMANDS_OF_README,
    (HTTP, "Generated clients", "sh"): "tests/clients/test_generated.py::test_a_client_by_openapi_python_client",
    (UPPY, "Through thumbq", "js"): UPPY_RECIPES,
    (UPPY, "Straight to S3", "js"): UPPY_RECIPES,
    (UPPY, "Thumbnails", "js"): UPPY_RECIPES,
    (UPLOADS, "Fields", "sh"): (
        "tests/e2e/test_priority.py::test_the_documented_upload_with_fields_works_with_the_documented_queues"
    ),
    (PRESIGNED_UPLOADS, "Request", "json"): (
        "tests/web/test_presigned_uploads.py::test_the_document_shows_what_is_asked_and_answered"
    ),
    (PRESIGNED_UPLOADS, "Browsers", "text"): (
        "tests/aws/test_events.py::test_the_documented_cors_rule_lets_a_page_post_its_form"
    ),
    (MESSAGES, "Bare keys", "text"): MESSAGE_FORMS,
    (MESSAGES, "Bare keys", "json"): MESSAGE_FORMS,
    (MESSAGES, "JSON", "json"): MESSAGE_FORMS,
    (MESSAGES, "S3 events", "json"): MESSAGE_FORMS,
    (MESSAGES, "EventBridge", "json"): MESSAGE_FORMS,
    (MESSAGES, "SNS", "json"): MESSAGE_FORMS,
    (MESSAGES, "Ignored messages", "json"): MESSAGE_FORMS,
    (QUEUES, "Several queues", "toml"): "tests/unit/test_queue_settings.py::test_the_documented_example_works",
    (MANIFEST, "Example", "json"): (
        "tests/unit/test_manifest.py::test_the_document_shows_a_manifest_and_explains_every_member"
    ),
    (CALLBACKS, "Settings", "toml"): (
        "tests/unit/test_webhook_settings.py::test_the_documented_table_works_and_each_member_is_documented"
    ),
    (CALLBACKS, "Calls", "json"): "tests/webhooks/test_calls.py::test_the_document_shows_what_is_posted",
    (CALLBACKS, "Endpoint", "python"): CALLBACK_COMMANDS,
    (CALLBACKS, "Sending again", "sh"): CALLBACK_COMMANDS,
    (EVENTS, "Events", "toml"): EVENT_EXAMPLES,
    (EVENTS, "SNS to SQS", "text"): EVENT_EXAMPLES,
    (EVENTS, "EventBridge to Lambda", "text"): EVENT_EXAMPLES,
    (PRESETS, "Routes", "toml"): SETTINGS_FILES,
    (COMMANDS, "Doctor", "sh"): COMMANDS_OF_README,
    (COMMANDS, "Status", "sh"): COMMANDS_OF_README,
    (COMMANDS, "Files", "sh"): COMMANDS_OF_README,
    (COMMANDS, "Dead letters", "sh"): COMMANDS_OF_README,
    (COMMANDS, "Pause", "sh"): COMMANDS_OF_README,
    (COMMANDS, "Lost messages", "sh"): COMMANDS_OF_README,
    (COMMANDS, "Changed presets", "sh"): COMMANDS_OF_README,
    (ACCESS, "Tokens", "sh"): TOKENS,
    (ACCESS, "Another token", "sh"): TOKENS,
    (OPERATIONS, "The first five commands", "sh"): COMMANDS_OF_README,
    (OPERATIONS, "Backup", "sh"): OLDER_DATABASE,
    (OPERATIONS, "Restore", "sh"): OLDER_DATABASE,
    (OPERATIONS, "Retention", "toml"): "tests/unit/test_settings.py::test_the_documented_retention_is_one_that_works",
    (OPERATIONS, "An older database", "sh"): OLDER_DATABASE,
    (HTTP, "Health", "json"): (
        "tests/web/test_answers.py::test_what_is_away_for_all_replicas_is_named_with_its_time_and_costs_no_readiness"
    ),
    (BENCHMARK, "Benchmark", "sh"): COMMANDS_OF_README,
    (BENCHMARK, "Service", "sh"): (
        "tests/commands/test_bench_service.py::test_the_documented_command_prints_a_table_and_leaves_nothing_behind"
    ),
    (COMPARISON, "Again", "text"): ("tests/conformance/test_comparison.py::test_the_commands_of_the_page_are_there"),
    (DEPLOY, "Alarms", "text"): (
        "tests/deploy/test_alarms.py::test_the_alarm_is_on_the_metric_of_the_filter_and_the_document_has_its_pattern"
    ),
    (DEPLOY, "CloudFormation", "text"): (
        "tests/deploy/test_template.py"
        "::test_the_documented_command_gives_the_parameters_that_the_service_cannot_do_without"
    ),
    (KUBERNETES, "Configuration", "text"): (
        "tests/deploy/test_kubernetes.py::test_pods_ask_for_the_tokens_of_a_secret_that_is_not_in_the_repository"
    ),
    (SCALE, "Simulation", "sh"): (
        "tests/simulation/scale/test_scale.py::test_two_hundred_replicas_do_as_three_and_the_document_shows_it"
    ),
    (SCALE, "Spread keys", "sh"): "tests/e2e/test_spread_keys.py::test_the_documented_command_shows_the_prefix",
    (LAMBDA, "Build", "sh"): LAMBDA_BUILD,
    (LAMBDA, "Deployment", "text"): LAMBDA_BUILD,
}
"""The test that runs or reads the code blocks of a language under a heading."""


def slug(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def links(document: str) -> list[tuple[str, str]]:
    """Return path from the root and anchor of each relative link."""
    folder = (ROOT / document).parent
    targets = re.findall(r"\]\(([^)\s]+)\)", documents.text(document))
    return [
        (str((folder / path).resolve().relative_to(ROOT)) if path else document, anchor)
        for path, _, anchor in (target.partition("#") for target in targets if "://" not in target)
    ]


def test_all_documents_are_listed() -> None:
    found = {
        str(path.relative_to(ROOT))
        for folder in ("src/thumbq/docs", "deploy")
        for path in (ROOT / folder).rglob("*.md")
    }
    assert found | {README} == set(ALL)


@pytest.mark.parametrize("document", [*ALL, "ARCHITECTURE.md", "CHANGELOG.md"])
def test_every_link_leads_to_a_file_and_a_heading(document: str) -> None:
    for path, anchor in links(document):
        assert (ROOT / path).exists(), path
        if anchor:
            assert anchor in map(slug, documents.headings(path)), f"{path}#{anchor}"


@pytest.mark.parametrize("document", ALL)
def test_a_heading_stands_once_in_a_document(document: str) -> None:
    assert [slug for slug, count in Counter(map(slug, documents.headings(document))).items() if count > 1] == []


def test_every_example_is_checked_by_a_test() -> None:
    shown = {
        (document, block.heading, block.language)
        for document in ALL
        for block in documents.code_blocks(documents.text(document))
        if block.language
    }
    assert shown == CHECKED_BY.keys()
    for test in set(CHECKED_BY.values()):
        path, _, name = test.partition("::")
        assert re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE), test


def test_a_block_without_a_language_is_the_diagram_of_readme() -> None:
    plain = [
        (document, block.heading)
        for document in ALL
        for block in documents.code_blocks(documents.text(document))
        if not block.language
    ]
    assert plain == [(README, "Guarantees")]


def test_no_command_stands_outside_of_the_blocks() -> None:
    for document in ALL:
        assert re.findall(r"^(?:\$|>) .*", documents.text(document), flags=re.MULTILINE) == []


def test_readme_fits_on_a_few_screens() -> None:
    assert len(documents.text(README).splitlines()) <= 200


def test_the_map_of_readme_has_every_document() -> None:
    assert set(ALL) - {README} <= {path for path, _ in links(README)}


def test_the_topics_of_the_command_are_the_files() -> None:
    folder = Path(docs.__file__).parent
    assert sorted(docs.TOPICS) == sorted(path.stem for path in folder.glob("*.md"))


@pytest.mark.parametrize("topic", docs.TOPICS)
def test_a_topic_starts_with_its_title_and_a_line_about_it(topic: str) -> None:
    title, gap, summary, end, *_ = docs.read(topic).splitlines()
    assert title.startswith("# ")
    assert (gap, end) == ("", "")
    assert summary == docs.summary(topic)
    assert len(summary) < 60


@pytest.mark.parametrize("document", ALL)
def test_variables_and_commands_that_a_document_names_exist(document: str) -> None:
    text = documents.text(document)
    variables = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | {f"{PREFIX}CONFIG"}
    assert set(re.findall(rf"\b{PREFIX}\w+", text)) <= variables
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    for line in re.findall(r"`thumbq ([^`]+)`", prose):
        assert _is_a_command(line.split()), f"thumbq {line}"


def _is_a_command(words: Sequence[str]) -> bool:
    """Tell whether words name commands and an option of the last one; arguments and placeholders are passed over."""
    command: click.Command = main
    for word in words:
        if isinstance(command, click.Group) and word.islower() and not word.startswith("-"):
            if word not in command.commands:
                return False
            command = command.commands[word]
        elif word.startswith("-") and word not in {
            "--help",
            *(name for given in command.params for name in given.opts),
        }:
            return False
    return True


@pytest.fixture(scope="module")
def source() -> str:
    """All of the code."""
    return "\n".join(path.read_text() for path in (ROOT / "src" / "thumbq").rglob("*.py"))


@pytest.mark.parametrize("document", [README, UPLOADS])
def test_a_list_of_formats_has_each_one(document: str) -> None:
    names = {"HEIC" if known is ImageFormat.HEIF else known.name for known in ImageFormat}
    assert names <= set(re.findall(r"\w+", documents.text(document).upper()))


def test_the_document_has_the_routes_of_the_service() -> None:
    shown = set(re.findall(r"^\| `([A-Z]+ /[^`]*)` \|", documents.section(HTTP, "Routes"), re.MULTILINE))
    assert shown == {f"{route.method} {route.path}" for route in ROUTES}


def test_the_document_has_each_problem_code_beside_its_status(source: str) -> None:
    rows = re.findall(r"^\| (\d{3}) \| (.*) \|$", documents.section(HTTP, "Problems"), re.MULTILINE)
    codes = {(int(status), code) for status, text in rows for code in re.findall(r"`([a-z-]+)`", text)}
    codes |= {(400, code) for code in re.findall(r"`([a-z]+(?:-[a-z]+)+)`", documents.section(UPLOADS, "Fields"))}
    assert {(status, code) for code, status in STATUSES.items()} <= codes
    of_aiohttp = {404: "not-found", 405: "method-not-allowed", 417: "expectation-failed"}
    others = codes - {(status, code) for code, status in STATUSES.items()} - of_aiohttp.items()
    assert {code for status, code in others if status == 422} == set(UNMADE)
    assert {status for status, _ in others} == {404, 422}
    assert [code for _, code in sorted(others) if f'"{code}"' not in source] == []


def test_the_codes_that_jobs_fail_with_are_the_known_ones(source: str) -> None:
    given = re.findall(r"(?:RenderRefused|RenderKilled|Refusal|Bury)\(\s*\"([a-z-]+)\"", source)
    kinds: list[Any] = [*JobFailed.__subclasses__(), SourceDenied]
    given += [kind.code for kind in kinds if "code" in vars(kind)]
    given += [*get_args(NotMadeCode), "attempts-exhausted"]
    assert set(given) - CALLBACK_CODES == JOB_CODES


def test_the_code_writes_the_events_of_the_log_that_documents_name(source: str) -> None:
    named = {name for document in ALL for name in re.findall(r"`((?:service|job)\.[a-z_]+)`", documents.text(document))}
    assert named
    assert [name for name in sorted(named) if f'"{name}"' not in source] == []


def test_the_document_names_the_customers_codes_and_the_lines_that_the_code_writes(source: str) -> None:
    section = documents.section(OPERATIONS, "Log levels")
    assert set(re.findall(r"`([a-z]+(?:-[a-z]+)*)`", section)) - {"error", "warning", "critical"} == (
        CUSTOMERS_CODES | CALLBACK_CODES
    )
    messages = documents.section(MESSAGES, "Refused messages")
    assert set(re.findall(r"`([a-z-]+)`", documents.section(IMAGES, "Errors") + messages)) >= JOB_CODES
    lines = set(re.findall(r"`([a-z]+\.[a-z_]+)`", section))
    assert [line for line in sorted(lines) if f'"{line}"' not in source] == []
