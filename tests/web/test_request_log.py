"""What is refused over HTTP is in the log once: with its code, its bytes, and its job where there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from support.pictures.images import photo_jpeg
from support.servers.web import form
from thumbq.errors import AccessDenied, BackendRefused, BackendUnavailable, BadAnswer
from thumbq.web.app import UploadLimits
from web.test_presigned_uploads import filled, presign

if TYPE_CHECKING:
    from collections.abc import Sequence

    from structlog.typing import EventDict

    from support.servers.web import Served

JPEG = photo_jpeg(16, 16)
AWAY = BackendUnavailable("put bucket-of-mine/k: no answer")


@pytest.fixture
def limits() -> UploadLimits:
    return UploadLimits(max_file_bytes=100_000)


def told(logs: Sequence[EventDict], event: str = "http.request") -> list[EventDict]:
    return [line for line in logs if line["event"] == event]


async def refused(served: Served, data: Any, path: str = "/upload") -> tuple[EventDict, Sequence[EventDict]]:
    """Send what is refused; return the line about the request, and all lines."""
    with capture_logs(processors=[contextual]) as logs:
        async with served.http.post(path, data=data) as response:
            assert response.status >= 400
            await response.read()
    [line] = told(logs)
    return line, logs


def contextual(_logger: Any, _method: str, line: EventDict) -> EventDict:
    from structlog.contextvars import get_contextvars  # noqa: PLC0415 - one use

    return {**get_contextvars(), **line}


@pytest.mark.parametrize(
    ("body", "field", "code", "status"),
    [
        (b"no image at all", "file", "unsupported-format", 415),
        (b"", "file", "empty-file", 400),
        (JPEG + bytes(200_000), "file", "too-large", 413),
        (JPEG, "another", "no-file", 400),
    ],
)
async def test_a_refused_upload_is_one_line_with_its_code_and_its_bytes(
    served: Served, body: bytes, field: str, code: str, status: int
) -> None:
    line, logs = await refused(served, form(("a.jpg", body), field=field))
    assert (line["code"], line["status"], line["log_level"]) == (code, status, "info")
    assert line["bytes_in"] > len(body)
    assert "job_id" not in line
    assert logs == [line], "there is no other line"


async def test_of_several_files_each_has_its_code(served: Served) -> None:
    line, _ = await refused(served, form(("a.jpg", b"text"), ("b.jpg", b"")))
    assert (line["code"], line["codes"]) == ("unsupported-format", ["unsupported-format", "empty-file"])
    with capture_logs() as logs:
        assert (await served.post(("a.jpg", JPEG), ("b.jpg", b"text")))[0] == 207
    [line] = told(logs)
    assert (line["status"], line["code"]) == (207, "unsupported-format")
    assert "job_id" not in line


async def test_what_is_taken_has_neither_code_nor_error(served: Served) -> None:
    with capture_logs(processors=[contextual]) as logs:
        assert (await served.post(("a.jpg", JPEG)))[0] == 201
    [line] = told(logs)
    assert not {"code", "codes", "error", "job_id"} & line.keys()


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (AWAY, "backend-unavailable", 503),
        (BadAnswer("an HTML page"), "backend-bad-answer", 502),
        (BackendRefused("KMS.DisabledException"), "backend-refused", 503),
        (AccessDenied("no right"), "backend-refused", 503),
    ],
)
async def test_an_upload_that_the_store_fails_says_its_job_and_what_the_store_said(
    served: Served, error: Exception, code: str, status: int
) -> None:
    served.behind.store.errors["put"] = error
    line, logs = await refused(served, form(("a.jpg", JPEG)))
    assert (line["code"], line["status"], line["error"]) == (code, status, str(error))
    assert len(line["job_id"]) == 26
    [warning] = [other for other in logs if other["log_level"] == "warning"]
    assert (warning["event"], warning["code"], warning["error"], warning["count"]) == (
        "request.refused",
        code,
        str(error),
        1,
    )
    served.behind.store.errors.clear()
    line, _ = await refused(served, form(("a.jpg", b"text")))
    assert "job_id" not in line, "the connection is the same, the request is another one"


async def test_an_outage_is_a_warning_once_a_minute_for_each_code(served: Served) -> None:
    served.behind.store.errors["put"] = AWAY
    lines = [await refused(served, form(("a.jpg", JPEG))) for _ in range(20)]
    warnings = [line for _, logs in lines for line in logs if line["log_level"] != "info"]
    assert [line["event"] for line in warnings] == ["request.refused"]
    assert len({line["job_id"] for line, _ in lines}) == 20


async def test_a_presigned_upload_that_is_refused_says_its_job(served: Served) -> None:
    asked = await presign(served)
    fields = asked["upload"]["fields"]
    line, _ = await refused(served, filled(fields, b""), "/inbox")
    assert (line["code"], line["job_id"]) == ("empty-file", asked["id"])
    line, _ = await refused(served, filled(fields, JPEG + bytes(200_000)), "/inbox")
    assert (line["code"], line["job_id"]) == ("too-large", asked["id"])
    line, _ = await refused(served, filled({}, JPEG), "/inbox")
    assert line["code"] == "form-incomplete"
    assert "job_id" not in line


async def test_a_question_that_is_refused_says_its_job(served: Served) -> None:
    job_id = "0" * 26
    with capture_logs() as logs:
        for path in (f"/jobs/{job_id}", f"/jobs/{job_id}/thumbnail", "/jobs/x"):
            async with served.http.get(path) as response:
                assert response.status == 404
    assert [(line["code"], line.get("job_id")) for line in told(logs)] == [
        ("no-job", job_id),
        ("no-job", job_id),
        ("no-job", None),
    ]
