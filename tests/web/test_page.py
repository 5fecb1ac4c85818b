"""The page as it is served: its policy, its names, its size, what it is made of."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shutil
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

import pytest
from aiohttp import hdrs

from support.servers.web import FaultyBackend, Served, serve
from thumbq.core.links import Links
from thumbq.web import page
from thumbq.web.app import UploadLimits
from thumbq.web.page.assets import load_assets

if TYPE_CHECKING:
    from pathlib import Path

KIB: Final = 1024
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self';"
    " form-action 'none'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
STATIC: Final[Any] = resources.files(page) / "static"


def own_modules() -> dict[str, str]:
    files: list[Path] = [path for path in STATIC.rglob("*.js") if path.parent.name != "vendor"]
    return {str(path.relative_to(STATIC)): path.read_text() for path in files}


async def test_the_page_has_its_policy_and_is_asked_for_each_time(served: Served) -> None:
    async with served.http.get("/") as answer:
        assert (answer.status, answer.content_type, answer.charset) == (200, "text/html", "utf-8")
        assert answer.headers["Content-Security-Policy"] == POLICY
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers[hdrs.CACHE_CONTROL] == "no-cache"
        etag = answer.headers[hdrs.ETAG]
    async with served.http.get("/", headers={hdrs.IF_NONE_MATCH: etag}) as again:
        assert (again.status, await again.read()) == (304, b"")
        assert again.headers["Content-Security-Policy"] == POLICY


async def test_all_that_it_names_is_there_beside_it_and_can_be_kept_for_good(served: Served) -> None:
    async with served.http.get("/") as answer:
        text = await answer.text()
    named = re.findall(r'(?:href|src)="([^"]+)"', text)
    # Nothing begins with a slash or names a host: below a path all of it works too.
    assert all(re.fullmatch(r"page/[\w.-]+\.[0-9a-f]{6}\.(?:js|css|svg)", path) for path in named)
    for path in dict.fromkeys([*named, *(f"page/{name}" for name in load_assets()[1])]):
        async with served.http.get(f"/{path}", headers={hdrs.ACCEPT_ENCODING: "gzip"}) as file:
            body = await file.read()
            assert (file.status, file.headers[hdrs.CONTENT_ENCODING]) == (200, "gzip")
            assert file.headers[hdrs.CACHE_CONTROL] == "public, max-age=31536000, immutable"
            for imported in re.findall(r"""(?:from|import)\s*\(?\s*["'](\./[^"']+)""", body.decode()):
                assert imported.removeprefix("./") in load_assets()[1], (path, imported)
    async with served.http.get(f"/{named[0]}x") as missing:
        assert (missing.status, (await missing.json())["code"]) == (404, "no-asset")


async def test_head_says_what_get_would(served: Served) -> None:
    body = b""
    for accepted in ("gzip", "identity"):
        async with served.http.get("/", headers={hdrs.ACCEPT_ENCODING: accepted}, auto_decompress=False) as answer:
            body, expected = await answer.read(), answer.headers.copy()
        async with served.http.head("/", headers={hdrs.ACCEPT_ENCODING: accepted}, auto_decompress=False) as answer:
            assert answer.headers[hdrs.CONTENT_LENGTH] == str(len(body))
            assert answer.headers[hdrs.ETAG] == expected[hdrs.ETAG]
    assert body.startswith(b"<!doctype html>")


@pytest.mark.parametrize("base", ["", "https://example.com/pictures"])
async def test_without_javascript_there_is_the_command_with_the_address(behind: FaultyBackend, base: str) -> None:
    async with serve(behind, UploadLimits(), links=Links(base)) as served, served.http.get("/") as answer:
        shown = re.search(r"<noscript>.*curl -F file=@photo.jpg (\S+)</code>", await answer.text(), re.DOTALL)
        assert shown is not None
        assert shown[1] == f"{base or served.url}/upload"


async def test_it_can_be_switched_off_with_all_that_is_there_for_it(behind: FaultyBackend) -> None:
    async with serve(behind, UploadLimits(), page=False) as served:
        for method, path in (
            ("GET", "/"),
            ("GET", "/service"),
            ("POST", "/session"),
            ("GET", f"/originals/{'0' * 26}"),
        ):
            async with served.http.request(method, path) as answer:
                assert answer.status == 404
        async with served.http.get("/openapi.json") as answer:
            assert "/session" not in (await answer.json())["paths"]


def test_whatever_changes_has_another_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, now = load_assets()
    shutil.copytree(STATIC, tmp_path / "static")
    changed = tmp_path / "static" / "core" / "api.js"
    changed.write_text(changed.read_text().replace("Retry-After", "Retry-Later"))
    monkeypatch.setattr(resources, "files", lambda _: tmp_path)
    _, others = load_assets.__wrapped__()
    assert len(others) == len(now)
    assert not set(others) & set(now)


def test_all_of_it_in_both_languages_is_at_most_150_kib_and_60_compressed() -> None:
    index, files = load_assets()
    served = [index, *files.values()]
    assert sum(len(asset.body) for asset in served) <= 150 * KIB
    assert sum(len(asset.gzipped) for asset in served) <= 60 * KIB
    assert all(gzip.decompress(asset.gzipped) == asset.body for asset in served)


def test_no_text_of_a_module_is_changed_by_what_makes_it_small() -> None:
    modules = load_assets()[1].items()
    text_of = {name.rpartition(".js")[0].rpartition(".")[0]: asset.body.decode() for name, asset in modules}
    for path, source in own_modules().items():
        served = text_of[path.removesuffix(".js").replace("/", "-")]
        code = re.sub(r"^\s*//.*$|/\*[\s\S]*?\*/|(?:from|import) ?\(?\"[^\"]*\"", "", source, flags=re.MULTILINE)
        # Of the languages, what templates have around their values is text, too.
        around = r'|(?<=`)[^`${}"=;]+(?=\$\{)|(?<=\})[^`${}"=;\n]+(?=`)' if path.startswith("text/") else ""
        texts = re.findall(rf'"[^"`$\n]*"{around}', code)
        assert [text for text in texts if text not in served] == [], path


def test_what_is_vendored_is_as_it_was_published_with_version_and_licence() -> None:
    folder = STATIC / "vendor"
    listed = json.loads((folder / "vendored.json").read_text())
    assert {(each["name"], each["version"], each["licence"]) for each in listed} == {
        ("uPlot", "1.6.32", "MIT"),
        ("thumbhash", "0.1.1", "MIT"),
    }
    hashes = {name: digest for each in listed for name, digest in each["files"].items()}
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    assert found == hashes | {"vendored.json": found["vendored.json"]}
    assert {each["name"] for each in listed} == {name.partition(".")[0] for name in hashes if name.endswith(".LICENSE")}


def test_modules_are_short_and_make_no_code_of_text_and_go_nowhere_else() -> None:
    for name, source in own_modules().items():
        assert source.count("\n") <= 250, name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", source), (
            name
        )
        assert set(re.findall(r"https?://[^\s\"'`)]+", source)) <= {"http://www.w3.org/2000/svg"}, name


def test_both_languages_have_the_same_texts() -> None:
    def keys(source: str) -> list[str]:
        return re.findall(r'(?:^\s*|[{,]\s)"?([\w-]+)"?: (?=["`{(\w])', source, re.MULTILINE)

    english, japanese = (keys(own_modules()[f"text/{language}.js"]) for language in ("en", "ja"))
    assert len(english) > 60
    assert sorted(english) == sorted(japanese)


async def test_it_knows_what_a_file_is_refused_with_before_it_is_sent(behind: FaultyBackend) -> None:
    async with serve(behind, UploadLimits(max_file_bytes=1000)) as served:
        async with served.http.get("/service") as answer:
            known = (await answer.json())["data"]
        for code, body in (("empty-file", b""), ("unsupported-format", b"text"), ("too-large", bytes(1001))):
            _, document = await served.post(("a.jpg", body))
            assert (document["code"], document["detail"]) == (code, known["refusals"][code])
    assert known["client"] == {"name": None, "scopes": ["upload", "read", "admin"]}
    assert known["upload_presets"] == ["thumbnail"]
