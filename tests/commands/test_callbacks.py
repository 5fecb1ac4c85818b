"""`thumbq webhook`, `thumbq dlq --queue webhooks` and `thumbq setup` with callbacks, in the test's own process."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from support.commands import thumbq
from support.doubles.clocks import SystemClock
from support.servers.emulators import aws_environment
from thumbq.core import callbackmessage, deadletter, keys
from thumbq.core.job import ObjectRef
from thumbq.core.manifest import Manifest, SourceRecord
from thumbq.local import open_local_queues

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from thumbq.ports import Backend

URL = "https://hooks.example.com/done"
TABLE = f'[webhooks]\nhosts = ["hooks.example.com"]\nsecrets = ["whsec_{"a" * 32}"]\n'
ID = "0" * 25


@pytest.fixture(autouse=True)
def _folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "thumbq.toml").write_text(TABLE)


def on_callbacks(work: Callable[[Backend], Awaitable[object]]) -> list[str]:
    """Do something on the directory's queue of callbacks, and return what is in it afterwards."""

    async def run() -> list[str]:
        name = callbackmessage.queue_name("")
        async with open_local_queues(Path("data"), clock=SystemClock(), queues=("",), callbacks=name) as (_, backend):
            await work(backend)
            found = await backend.queue.receive(max_messages=10, wait_s=0, visibility_timeout_s=1)
            return [message.body for message in found]

    return anyio.run(run)


def manifest(key: str, url: str | None) -> Manifest:
    return Manifest(
        status="done",
        source=SourceRecord(bucket="local", key=key, content_type="image/jpeg"),
        callback_url=url,
        message_id="m",
        finished_at=datetime.now(UTC),
    )


async def put(backend: Backend, *manifests: Manifest) -> None:
    for each in manifests:
        ref = ObjectRef(backend.bucket, keys.manifest_key(each.source.key))
        await backend.store.put(ref, each.encode(), content_type="application/json")


async def nothing(_: Backend) -> None: ...


def test_jobs_are_named_by_id_or_key_and_each_that_cannot_be_told_of_says_why() -> None:
    ended = [
        manifest(keys.upload_key(f"{ID}1"), URL),
        manifest(keys.inbox_key(f"{ID}2"), URL),
        manifest("pngfiles/a.png", URL),
        manifest(keys.upload_key(f"{ID}3"), None),
        manifest(keys.upload_key(f"{ID}4"), "https://elsewhere.example.com/"),
    ]
    on_callbacks(lambda backend: put(backend, *ended))
    names = [f"{ID}1", f"{ID}2", "pngfiles/a.png", f"{ID}3", f"{ID}4", f"{ID}5", "x"]
    done = thumbq("webhook", "replay", *names, "--local", "data")
    assert done.exit_code == 1
    sent = [callbackmessage.callback_id(each) for each in ended[:3]]
    assert done.stdout.splitlines() == [f"{name}\t{webhook_id}" for name, webhook_id in zip(names, sent, strict=False)]
    assert [line.partition(": ")[0] for line in done.stderr.splitlines()] == names[3:]
    assert [callbackmessage.decode(body).id for body in on_callbacks(nothing)] == sent


def test_without_the_table_there_is_nothing_to_send_again(tmp_path: Path) -> None:
    on_callbacks(nothing)
    (tmp_path / "thumbq.toml").write_text("")
    done = thumbq("webhook", "replay", "x", "--local", "data")
    assert done.exit_code == 2
    assert "there is no table [webhooks]" in done.stderr
    done = thumbq("dlq", "list", "--queue", "webhooks", "--local", "data")
    assert done.exit_code == 2
    assert "write [webhooks] into thumbq.toml" in done.stderr


def test_callbacks_that_were_given_up_are_shown_and_sent_back() -> None:
    callback = callbackmessage.make_callback(manifest("pngfiles/a.png", URL), URL, {"type": "job.done"})

    async def bury(backend: Backend) -> None:
        assert backend.dead_letters is not None
        note = deadletter.Note("callback-gone", "the endpoint answered 410", "m-1", 1)
        await backend.dead_letters.send(callback.encode(), note.encode())

    on_callbacks(bury)
    of_callbacks = ("--queue", "webhooks", "--local", "data")
    assert thumbq("dlq", "list", "--local", "data").stdout == "no dead letters\n"
    listed = thumbq("dlq", "list", *of_callbacks).stdout
    assert "callback-gone" in listed
    assert f"local/pngfiles/a.png to {URL}: the endpoint answered 410" in listed
    shown = json.loads(thumbq("dlq", "list", "--json", *of_callbacks).stdout)
    assert (shown["webhook_id"], shown["url"], shown["key"]) == (callback.id, URL, "pngfiles/a.png")
    assert thumbq("dlq", "redrive", "--all", *of_callbacks).exit_code == 0
    assert on_callbacks(nothing) == [callback.encode()]
    on_callbacks(bury)
    assert thumbq("dlq", "purge", "--all", "--yes", *of_callbacks).stdout == "removed 1 dead letters\n"


def test_no_job_is_sent_into_the_queue_of_callbacks(tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    done = thumbq("send", "cat.jpg", "--priority", "webhooks", "--local", "data")
    assert done.exit_code == 2
    assert "no queue named webhooks" in done.stderr


def test_setup_makes_their_queue_and_the_service_finds_it(moto_url: str, tmp_path: Path) -> None:
    name = f"t-{uuid.uuid4().hex}"
    variables = aws_environment(moto_url) | {"THUMBQ_BUCKET": name, "THUMBQ_QUEUE": f"{name}.fifo"}
    made = thumbq("setup", **variables).stdout
    for queue in (f"queue {name}-webhooks", f"dead-letter queue {name}-webhooks-dlq"):
        assert f"made   {queue}\n" in made
    assert thumbq("dlq", "list", "--queue", "webhooks", **variables).stdout == "no dead letters\n"
    (tmp_path / "thumbq.toml").write_text("")
    assert "webhooks" not in thumbq("setup", **variables).stdout


def test_the_queue_of_callbacks_can_be_paused_alone() -> None:
    on_callbacks(lambda backend: backend.queue.attributes())
    assert thumbq("pause", "webhooks", "--local", "data").stdout.startswith("webhooks: paused since 20")
    ended = thumbq("resume", "--local", "data").stdout.splitlines()
    assert [line.split(";")[0] for line in ended] == ["default: was not paused", "webhooks: resumed"]
