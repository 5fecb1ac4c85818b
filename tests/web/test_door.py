"""What is refused at the door, before a byte of the body is read: wrong hosts, and pages of other sites."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from support.servers.web import JPEG, answers, document, form, multipart, serve
from thumbq.web.door import Door
from thumbq.web.forwarding import Proxies

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.servers.web import FaultyBackend, Served
    from thumbq.web.app import UploadLimits

ALLOWED = "https://app.example.com"
BODY = multipart(('name="file"; filename="a.jpg"', JPEG))


@pytest.fixture
def door() -> Door:
    return Door(listens_on="127.0.0.1", cors_origins=[ALLOWED])


@pytest.fixture
async def served(behind: FaultyBackend, limits: UploadLimits, door: Door) -> AsyncIterator[Served]:
    async with serve(behind, limits, door=door) as served:
        yield served


async def upload(served: Served, **headers: str) -> tuple[int, Any, dict[str, str]]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    async with served.http.post("/upload", data=form(("a.jpg", JPEG)), headers=names) as response:
        return response.status, (await response.json(content_type=None)).get("code"), dict(response.headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "something-new"},
        {"Sec_Fetch_Site": "cross-site", "Origin": "https://evil.example"},
        {"Sec_Fetch_Site": "cross-site", "Origin": "null"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://localhost"},
        {"Origin": "https://app.example.com.evil.example"},
        {"Origin": "http://app.example.com"},
        {"Origin": "https://app.example.com:8443"},
        {"Origin": "file://"},
    ],
)
async def test_a_page_of_another_site_changes_nothing(served: Served, headers: dict[str, str]) -> None:
    status, code, answered = await upload(served, **headers)
    assert (status, code) == (403, "cross-site")
    assert "Access-Control-Allow-Origin" not in answered
    assert served.behind.store.calls == []
    async with served.http.get("/jobs/" + "0" * 26, headers={"Sec-Fetch-Site": "cross-site"}) as response:
        assert response.status == 404, "reading changes nothing"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec_Fetch_Site": "same-origin"},
        {"Sec_Fetch_Site": "none"},
        {"Sec_Fetch_Site": "cross-site", "Origin": ALLOWED},
        {"Sec_Fetch_Site": "same-site", "Origin": "https://APP.example.com:443"},
        {"Origin": ALLOWED},
    ],
)
async def test_own_pages_known_origins_and_programs_upload(served: Served, headers: dict[str, str]) -> None:
    assert (await upload(served, **headers))[0] == 201


async def test_without_fetch_metadata_an_own_origin_is_the_hosts(served: Served) -> None:
    assert (await upload(served, Origin=f"http://{served.host}:{served.port}"))[0] == 201
    assert (await upload(served, Origin=f"http://localhost:{served.port}", Host=f"localhost:{served.port}"))[0] == 201


async def test_a_signed_form_comes_from_anywhere(served: Served) -> None:
    async with served.http.post("/inbox", data=form(("a.jpg", JPEG)), headers={"Sec-Fetch-Site": "cross-site"}) as got:
        assert (await got.json(content_type=None))["code"] == "form-incomplete"


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("localhost", True),
        ("LOCALHOST:80", True),
        ("localhost.", True),
        ("a.localhost:1", True),
        ("127.0.0.1", True),
        ("127.1.2.3:99", True),
        ("[::1]:8080", True),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("10.0.0.1", False),
        ("", False),
        ("localhost:99999", False),
        ("user@localhost", False),
    ],
)
async def test_on_a_loopback_address_the_host_is_the_loopback(served: Served, host: str, *, known: bool) -> None:
    request = f"GET /jobs/{'0' * 26} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    answer = await served.exchange(request)
    assert (answers(answer), document(answer)["code"]) == (([404], "no-job") if known else ([421], "wrong-host"))


async def test_hosts_that_are_named_are_the_only_ones(behind: FaultyBackend, limits: UploadLimits) -> None:
    door = Door(listens_on="0.0.0.0", allowed_hosts=["Pictures.example.com"])
    async with serve(behind, limits, door=door) as served:
        statuses = {}
        for path in ("/openapi.json", "/livez"):
            for host in ("pictures.example.com:443", "10.0.0.1:8080", "evil.example"):
                async with served.http.get(path, headers={"Host": host}) as response:
                    statuses[path, host] = response.status
    assert [key for key, status in statuses.items() if status == 421] == [
        ("/openapi.json", "10.0.0.1:8080"),
        ("/openapi.json", "evil.example"),
        ("/livez", "evil.example"),
    ], "a balancer asks an address for its health"


async def test_a_preflight_is_answered_for_known_origins(served: Served) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "idempotency-key"}
    async with served.http.options("/upload", headers={"Origin": ALLOWED, **asked}) as response:
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Origin"] == ALLOWED
        assert "POST" in response.headers["Access-Control-Allow-Methods"]
        assert "Idempotency-Key" in response.headers["Access-Control-Allow-Headers"]
        assert "Origin" in response.headers["Vary"]
        assert "Access-Control-Allow-Credentials" not in response.headers
    async with served.http.options("/upload", headers={"Origin": "https://evil.example", **asked}) as response:
        assert not [name for name in response.headers if name.startswith("Access-Control")]
        assert "Origin" in response.headers["Vary"]


@pytest.mark.parametrize("path", ["/jobs/" + "0" * 26, "/nothing", "/livez"])
async def test_every_answer_says_that_it_differs_by_origin(served: Served, path: str) -> None:
    async with served.http.get(path, headers={"Origin": ALLOWED}) as response:
        assert response.headers["Access-Control-Allow-Origin"] == ALLOWED
        assert "Retry-After" in response.headers["Access-Control-Expose-Headers"]
        assert response.headers["Vary"] == "Origin"
    async with served.http.get(path) as response:
        assert "Access-Control-Allow-Origin" not in response.headers
        assert response.headers["Vary"] == "Origin"


async def test_all_origins_are_a_star(behind: FaultyBackend, limits: UploadLimits) -> None:
    async with serve(behind, limits, door=Door(listens_on="0.0.0.0", cors_origins=["*"])) as served:
        status, _, headers = await upload(served, Origin="https://any.example", Sec_Fetch_Site="cross-site")
    assert (status, headers["Access-Control-Allow-Origin"]) == (201, "*")
    assert "Vary" not in headers


@pytest.mark.parametrize("expecting", [False, True])
async def test_a_refusal_comes_before_the_body_and_can_be_read(served: Served, *, expecting: bool) -> None:
    """Also by a client that has sent 20 MB before it reads; one that asks first is not invited to send."""
    expect = "Expect: 100-continue\r\n" if expecting else ""
    head = (
        f"POST /upload HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: https://evil.example\r\n{expect}"
        "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 20000000\r\nConnection: close\r\n\r\n"
    ).encode()
    answer = await served.exchange(head, *[bytes(20_000_000)] * (not expecting), half_close=True)
    assert (answers(answer), document(answer)["code"]) == ([403], "cross-site")


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [("POST /nothing", "127.0.0.1", 404), ("POST /livez", "127.0.0.1", 405), ("POST /nothing", "evil.example", 421)],
)
async def test_nobody_is_invited_to_an_address_that_there_is_not(
    behind: FaultyBackend, limits: UploadLimits, target: str, host: str, status: int
) -> None:
    async with serve(behind, limits, door=Door(listens_on="127.0.0.1")) as served:
        head = f"{target} HTTP/1.1\r\nHost: {host}\r\nExpect: 100-continue\r\nContent-Length: 1000\r\n\r\n"
        answer = await served.exchange(head.encode(), half_close=True)
        assert answer.startswith(f"HTTP/1.1 {status} ".encode())


async def test_a_client_that_asks_first_is_invited_unless_its_size_is_refused(
    behind: FaultyBackend, limits: UploadLimits
) -> None:
    async with serve(behind, limits) as served:
        head = (
            "POST /upload HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nConnection: close\r\n"
            "Content-Type: multipart/form-data; boundary=b0undary\r\nContent-Length: {}\r\n\r\n"
        )
        answer = await served.exchange(head.format(len(BODY)).encode(), BODY)
        assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 ")
        answer = await served.exchange(head.format(10**12).encode(), half_close=True)
        assert answer.startswith(b"HTTP/1.1 413 ")


async def test_the_id_of_a_request_is_sent_back_and_logged(served: Served) -> None:
    for given, kept in (("Ab_9-", True), ("a" * 64, True), ("a" * 65, False), ("a b", False), ("", False)):
        with capture_logs() as logs:
            async with served.http.get("/openapi.json", headers={"X-Request-Id": given}) as response:
                told = response.headers["X-Request-Id"]
        assert (told == given) is kept
        assert told
        assert [line["client"] for line in logs if line["event"] == "http.request"] == ["127.0.0.1"]


async def test_no_answer_tells_a_version_and_no_line_a_query_or_a_cookie(served: Served) -> None:
    secret = "s3cret"
    with capture_logs() as logs:
        async with served.http.get(
            f"/jobs/x?token={secret}", headers={"Cookie": secret, "Authorization": f"Bearer {secret}"}
        ) as response:
            assert response.headers["Server"] == "thumbq"
    assert secret not in repr(logs)
    for unreadable in (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHost: test\r\nHost: two\r\n\r\n"):
        assert b"Server: thumbq\r\n" in await served.exchange(unreadable, half_close=True)


class FromAProxy:
    """A request, as far as its way is concerned."""

    def __init__(self, remote: str, **headers: str | list[str]) -> None:
        from multidict import CIMultiDict  # noqa: PLC0415 - one use

        self.remote, self.scheme = remote, "http"
        self.headers: CIMultiDict[str] = CIMultiDict()
        for name, values in headers.items():
            for value in [values] if isinstance(values, str) else values:
                self.headers.add(name.replace("_", "-"), value)


@pytest.mark.parametrize(
    ("remote", "forwarded", "client"),
    [
        ("10.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", "1.1.1.1, 203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", "1.1.1.1, 203.0.113.7, 10.0.0.2", "203.0.113.7"),
        ("10.0.0.1", ["1.1.1.1", "203.0.113.7", "10.0.0.2"], "203.0.113.7"),
        ("10.0.0.1", "203.0.113.7:4711", "203.0.113.7"),
        ("10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("10.0.0.1", "10.0.0.9, 10.0.0.2", "10.0.0.9"),
        ("10.0.0.1", "203.0.113.7, unknown, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("::ffff:10.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("203.0.113.9", "1.1.1.1", "203.0.113.9"),
    ],
)
def test_forwarded_addresses_count_from_the_right_and_from_trusted_proxies_only(
    remote: str, forwarded: str | list[str], client: str
) -> None:
    request: Any = FromAProxy(remote, X_Forwarded_For=forwarded, X_Forwarded_Proto="https")
    proxies = Proxies(["10.0.0.0/8"])
    assert proxies.client_address(request) == client
    assert proxies.scheme(request) == ("http" if remote == "203.0.113.9" else "https")
    assert Proxies().client_address(request) == remote
