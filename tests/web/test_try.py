"""``POST /try``: one picture at a time, behind all jobs, and nothing of it is stored."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from support.doubles.rendering import FakeRenderer
from support.patience import until
from support.servers.web import JPEG, FaultyBackend, Served, serve
from thumbq.core.fairness import BEHIND_ALL
from thumbq.errors import RenderKilled, RenderRefused, RenderUnavailable
from thumbq.web.app import UploadLimits
from thumbq.web.trying import TRIES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from thumbq.core.preset import Preset
    from thumbq.ports import Rendered


class Watched(FakeRenderer):
    """Notes what is asked of it; ``gate`` holds the process back."""

    def __init__(self, *outcomes: Exception | float) -> None:
        super().__init__(*outcomes)
        self.queues: list[str] = []
        self.presets: list[Preset] = []
        self.gate = anyio.Event()
        self.gate.set()

    @asynccontextmanager
    async def process(self, queue: str) -> AsyncIterator[None]:
        self.queues.append(queue)
        await self.gate.wait()
        yield

    async def result(self, original: bytes, presets: Sequence[Preset]) -> Rendered:
        assert original == JPEG
        self.presets += presets
        return replace(await super().result(original, presets), cpu_s=0.0125)


async def tried(served: Served, query: str, body: bytes = JPEG) -> tuple[int, Any]:
    async with served.http.post(f"/try{query}", data=body) as answer:
        return answer.status, (await answer.json(content_type=None))["code"] if answer.status != 200 else None


async def test_the_rendition_is_answered_with_its_cpu_time_and_nothing_is_stored(served: Served) -> None:
    renderer = Watched()
    served.app[TRIES].use(renderer)
    query = "?width=320&height=200&fit=cover&focal_point=0.25&focal_point=1&format=webp&quality=70&enlarge=true"
    async with served.http.post(f"/try{query}", data=JPEG) as answer:
        assert (answer.status, answer.content_type, await answer.read()) == (200, "image/webp", b"x")
        assert answer.headers["Server-Timing"] == "cpu;dur=12.5"
        assert answer.headers["Cache-Control"] == "no-store"
    [preset] = renderer.presets
    assert preset.model_dump(exclude_unset=True) == {
        "name": "try",
        "width": 320,
        "height": 200,
        "fit": "cover",
        "focal_point": (0.25, 1.0),
        "format": "webp",
        "quality": 70,
        "enlarge": True,
    }
    assert type(preset).__module__ == "thumbq.core.preset", "render processes import no HTTP"
    assert renderer.queues == [BEHIND_ALL]
    assert served.behind.store.calls == served.behind.queue.calls == []


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("", "give width, height or both"),
        ("?width=0", "width: "),
        ("?width=1_0", "width has no such value"),
        ("?width=1.5", "width: "),
        ("?width=1&width=2", "width is there twice"),
        ("?width=8&quality=80&format=png", "quality is for JPEG"),
        ("?width=8&height=8&fit=cover&focal_point=nan&focal_point=0", "focal_point: "),
        ("?width=8&height=8&fit=cover&focal_point=0", "focal_point: "),
        ("?width=8&name=a", 'there is no option "name"'),
        ("?width=8&key=a", 'there is no option "key"'),
        ("?width=8&colour=red", 'there is no option "colour"'),
    ],
)
async def test_options_that_no_preset_can_have_are_refused(served: Served, query: str, why: str) -> None:
    served.app[TRIES].use(renderer := Watched())
    async with served.http.post(f"/try{query}", data=JPEG) as answer:
        document = await answer.json(content_type=None)
        assert (answer.status, document["code"]) == (400, "invalid-query")
        assert document["detail"].startswith(f"The query is wrong: {why}")
    assert renderer.asked == 0


@pytest.mark.parametrize(
    ("error", "refusal"),
    [
        (RenderRefused("too-large", "a bomb"), (422, "too-large")),
        (RenderRefused("unsupported-format", "no image"), (422, "unsupported-format")),
        (RenderKilled("decode-timeout", "late"), (422, "decode-timeout")),
        (RenderUnavailable("none"), (503, "busy")),
    ],
)
async def test_what_is_not_made_has_the_code_that_a_job_would_fail_with(
    served: Served, error: Exception, refusal: tuple[int, str]
) -> None:
    served.app[TRIES].use(Watched(error))
    assert await tried(served, "?width=8") == refusal
    assert await tried(served, "?width=8") == (200, None)


async def test_there_is_one_at_a_time(served: Served) -> None:
    assert await tried(served, "?width=8") == (503, "busy"), "there is no process yet"
    served.app[TRIES].use(renderer := Watched())
    renderer.gate = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(tried, served, "?width=8")
        await until(lambda: renderer.asked, within_s=5, what="the first")
        async with served.http.post("/try?width=9", data=JPEG) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        renderer.gate.set()
    assert await tried(served, "?width=8") == (200, None)
    assert [preset.width for preset in renderer.presets] == [8, 8]


async def test_it_gives_up_while_jobs_have_all_processes(behind: FaultyBackend) -> None:
    async with serve(behind, UploadLimits(), backend_timeout_s=0.05) as served:
        served.app[TRIES].use(renderer := Watched())
        renderer.gate = anyio.Event()
        assert await tried(served, "?width=8") == (503, "busy")
        renderer.gate.set()
        assert await tried(served, "?width=8") == (200, None)


@pytest.mark.parametrize("limits", [UploadLimits(max_file_bytes=300)])
async def test_a_picture_is_no_larger_than_an_upload_may_be(served: Served, limits: UploadLimits) -> None:
    served.app[TRIES].use(renderer := Watched())
    assert await tried(served, "?width=8", JPEG.ljust(limits.max_file_bytes + 1)) == (413, "too-large")
    assert renderer.asked == 0
