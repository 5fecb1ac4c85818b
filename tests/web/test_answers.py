"""What all answers have in common: problems, headers, logs; and the health endpoints."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import aiohttp
import pytest
from structlog.testing import capture_logs

from support.documents import HTTP, example
from support.servers.web import JPEG, form

if TYPE_CHECKING:
    from support.servers.web import Served


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_health_is_ok_or_says_the_reason(served: Served, path: str) -> None:
    async with served.http.get(path) as response:
        assert (response.status, await response.json()) == (200, {"status": "ok"})
        assert response.headers["Cache-Control"] == "no-store"
    served.health.alive = served.health.ready = "the receive loop stands still"
    async with served.http.get(path) as response:
        assert (response.status, response.content_type) == (503, "application/problem+json")
        assert response.headers["Cache-Control"] == "no-store"
        document = await response.json(content_type=None)
    assert document["detail"] == "the receive loop stands still"
    assert document["success"] is False


async def test_readiness_and_liveness_are_told_apart(served: Served) -> None:
    served.health.ready = "draining"
    async with served.http.get("/livez") as alive, served.http.get("/readyz") as ready:
        assert (alive.status, ready.status) == (200, 503)


async def test_what_is_away_for_all_replicas_is_named_with_its_time_and_costs_no_readiness(served: Served) -> None:
    served.health.away = {"store": 1_795_915_512.9, "queue": None}
    async with served.http.get("/readyz") as response:
        assert response.status == 200
        body = await response.json()
    assert body == json.loads(example(HTTP, "Health", "json"))
    served.health.ready = "nothing answers"
    async with served.http.get("/readyz") as response:
        document = await response.json(content_type=None)
    assert (response.status, document["data"]) == (503, {"store": body["store"], "queue": "ok"})
    served.health.ready = None
    async with served.http.get("/livez") as response:
        assert (response.status, await response.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("path", ["/nothing", "/jobs/", "/upload/", "/jobs/a/b/c", "/%00"])
async def test_an_unknown_address_is_a_problem(served: Served, path: str) -> None:
    async with served.http.get(path) as response:
        assert (response.status, response.content_type) == (404, "application/problem+json")
        document = await response.json(content_type=None)
    assert document == {
        "type": "urn:thumbq:problem:not-found",
        "title": "Not found",
        "status": 404,
        "detail": "There is nothing at this address.",
        "code": "not-found",
        "success": False,
        "message": "There is nothing at this address.",
    }


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [("GET", "/upload", "POST"), ("PUT", "/upload", "POST"), ("POST", "/jobs/x", "DELETE,GET,HEAD")],
)
async def test_a_wrong_method_is_told_the_right_ones(served: Served, method: str, path: str, allow: str) -> None:
    async with served.http.request(method, path) as response:
        assert (response.status, response.headers["Allow"]) == (405, allow)
        assert (await response.json(content_type=None))["code"] == "method-not-allowed"


async def test_head_gets_the_headers_of_a_problem_and_no_body(served: Served) -> None:
    async with served.http.head("/nothing") as response:
        assert (response.status, await response.read()) == (404, b"")
        assert response.content_type == "application/problem+json"


async def test_a_bug_is_a_problem_without_internals_and_is_logged_once(served: Served) -> None:
    served.behind.store.errors["put"] = ZeroDivisionError("secret")
    with capture_logs() as logs:
        async with served.http.post("/upload", data=form(("a.jpg", JPEG))) as response:
            assert (response.status, response.content_type) == (500, "application/problem+json")
            text = await response.text()
    assert "secret" not in text
    assert "ZeroDivision" not in text
    assert [entry["event"] for entry in logs] == ["request.failed", "http.request"]
    served.behind.store.errors.clear()
    async with served.http.post("/upload", data=form(("a.jpg", JPEG))) as response:
        assert response.status == 201


async def test_no_answer_may_be_sniffed(served: Served) -> None:
    for path in ("/livez", "/nothing", "/upload", "/jobs/x"):
        async with served.http.get(path) as response:
            assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_every_request_is_logged_and_health_only_for_the_curious(served: Served) -> None:
    with capture_logs() as logs:
        for path in ("/livez", "/jobs/a%0Ab?q=1"):
            async with served.http.get(path):
                pass
    health, job = logs
    assert (health["event"], health["log_level"], health["path"], health["status"]) == (
        "http.request",
        "debug",
        "/livez",
        200,
    )
    assert (job["event"], job["log_level"], job["method"], job["path"], job["status"]) == (
        "http.request",
        "info",
        "GET",
        "/jobs/a%0Ab",
        404,
    )
    assert job["duration_ms"] >= 0


async def test_an_expectation_that_nobody_knows_is_answered(served: Served) -> None:
    async with served.http.post("/upload", data=b"x", headers={"Expect": "wonders"}) as response:
        assert response.status == 417


async def test_a_request_with_an_impossible_header_is_answered(served: Served) -> None:
    answer = await served.exchange(b"GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\nConnection: close\r\n\r\n")
    assert answer.split()[1] == b"400"


async def test_an_odd_target_is_answered(served: Served) -> None:
    for target in (b"//jobs", b"*", b"http://other/livez/x", b"/jobs/\xff", b"/" + b"x" * 9000, b"/..;/%2e%2e/"):
        answer = await served.exchange(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert answer.split()[1] in {b"400", b"404"}, target


async def test_text_of_the_client_never_reaches_a_header(served: Served) -> None:
    data = aiohttp.FormData()
    data.add_field("file", JPEG, filename="a%0d%0aSet-Cookie: x.jpg")
    async with served.http.post("/upload", data=data) as response:
        assert response.status == 201
        assert not any("Set-Cookie" in value for value in (*response.headers, *response.headers.values()))
