"""What becomes of the messages of a batch, with real renders, over an emulator."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from aiobotocore.session import AioSession

from support.emf import metrics_of
from support.lambda_runtime.sqs_trigger import THROTTLED, ten_messages, trigger
from support.pictures.images import small_jpeg
from support.processes.marked_pool import gone, marked_pool
from support.servers.emulators import REGION, aws_env
from thumbq.core import callbackmessage
from thumbq.errors import SetupError
from thumbq.rendering import render_pool

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from support.servers.fault_proxy import FaultProxy
    from thumbq.pool.renderpool import RenderPool

    Call = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def pools(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[RenderPool]:
    """Return a list that the function's pool comes into; the parameter "marked" has it render what marks say."""
    made: list[RenderPool] = []

    def made_pool(settings: Any) -> RenderPool:
        made.append(marked_pool() if getattr(request, "param", "") == "marked" else render_pool(settings))
        return made[-1]

    monkeypatch.setattr("thumbq.aws_lambda.runtime.render_pool", made_pool)
    return made


async def test_of_ten_messages_only_the_one_that_failed_for_a_time_comes_again(
    ministack_url: str, proxy: FaultProxy, call: Call, pools: list[RenderPool]
) -> None:
    proxy.throttled = lambda asked: asked.service == "s3" and asked.path.endswith(THROTTLED)
    async with trigger(ministack_url) as source:
        os.environ["THUMBQ_BUCKET"] = source.bucket
        ten = await ten_messages(source)
        answer = await call(ten.event)
        await ten.shown(source, answer)
        await source.delete(ten.event, answer)
        # The next time S3 is well, and a child has died while the environment stood still.
        proxy.throttled = lambda _: False
        (child,) = pools[0].pids()
        os.kill(child, signal.SIGKILL)
        again = await source.event(ten.failed)
        assert [record["attributes"]["ApproximateReceiveCount"] for record in again["Records"]] == ["2"]
        assert await call(again) == {"batchItemFailures": []}
        assert len(await source.keys("thumbnail/")) == 8
        assert len(pools) == 1


async def test_the_first_failure_of_a_group_holds_up_its_rest_and_no_other_group(
    ministack_url: str, proxy: FaultProxy, call: Call, tmp_path: Path
) -> None:
    os.environ["THUMBQ_CONFIG"] = str(tmp_path / "of-the-service.toml")
    (tmp_path / "of-the-service.toml").write_text('[[queues]]\nname = "high"\nqueue = "another"')
    proxy.throttled = lambda asked: asked.service == "s3" and asked.path.endswith("/a/2.jpg")
    async with trigger(ministack_url, ending=".fifo") as source:
        os.environ["THUMBQ_BUCKET"] = source.bucket
        ids = {
            f"{group}/{number}": await source.job(f"{group}/{number}.jpg", small_jpeg(), group=group)
            for number in (1, 2, 3)
            for group in "ab"
        }
        event = await source.event(*ids.values())
        answer = await call(event)
        assert [item["itemIdentifier"] for item in answer["batchItemFailures"]] == [ids["a/2"], ids["a/3"]]
        assert sorted(await source.keys("thumbnail/")) == [f"thumbnail/{name}.jpg" for name in ("1", "2", "3")]
        assert await source.keys("manifests/a/") == ["manifests/a/1.jpg.json"]
        assert not any("a/3" in asked.path for asked in proxy.asked)
        await source.delete(event, answer)
        proxy.throttled = lambda _: False
        again = await source.event(ids["a/2"], ids["a/3"])
        assert [record["messageId"] for record in again["Records"]] == [ids["a/2"], ids["a/3"]]
        assert await call(again) == {"batchItemFailures": []}
        assert len(await source.keys("manifests/")) == 6


@pytest.mark.parametrize("pools", ["marked"], indirect=True)
async def test_before_the_time_limit_renders_are_killed_and_what_is_unfinished_comes_again_at_once_or_is_given_up(
    ministack_url: str, call: Call, pools: list[RenderPool]
) -> None:
    async with trigger(ministack_url) as source:
        os.environ["THUMBQ_BUCKET"] = source.bucket
        done = await source.job("photos/1.jpg", b"ok")
        assert await call(await source.event(done)) == {"batchItemFailures": []}
        (child,) = pools[0].pids()
        hangs = await source.job("photos/2.jpg", b"hold")
        waits = await source.job("photos/3.jpg", b"hold")
        last = await source.job("photos/4.jpg", b"hold")
        # From the second receive on a record says that a render is under way.
        await source.event(hangs, waits, last, visibility_timeout_s=0)
        event = await source.event(hangs, waits, last)
        # The queue would move it to the dead letters at its next receive, without a word.
        [record] = [record for record in event["Records"] if record["messageId"] == last]
        record["attributes"]["ApproximateReceiveCount"] = "10"
        answer = await call(event, remaining_s=6)
        assert {item["itemIdentifier"] for item in answer["batchItemFailures"]} == {hangs, waits}
        assert await source.dead() == {last: "attempts-exhausted"}
        assert await source.keys("manifests/photos/4") == ["manifests/photos/4.jpg.json"]
        await gone(child)
        assert await source.keys("attempts/") == []
        assert {message["MessageId"] for message in await source.receive(wait_s=0)} == {hangs, waits}


@pytest.mark.parametrize(
    "event",
    [
        pytest.param({"key1": "value1"}, id="the console's test event"),
        pytest.param({"Records": [{"eventSource": "aws:s3", "s3": {"object": {"key": "cat.png"}}}]}, id="S3 itself"),
        pytest.param(["cat.png"], id="a list"),
    ],
)
async def test_an_event_of_something_else_is_an_error_that_says_so(call: Call, event: object) -> None:
    with pytest.raises(SetupError, match="no event of an SQS trigger") as refused:
        await call(event)
    assert refused.value.problems[0].fix.startswith("have an SQS queue invoke the function")


async def test_settings_that_are_wrong_are_all_named_and_the_next_call_tries_again(
    ministack_url: str, call: Call
) -> None:
    async with trigger(ministack_url) as source:
        event = await source.event(await source.job("photos/1.jpg", small_jpeg()))
        os.environ |= {"THUMBQ_PROCESSES": "none", "THUMBQ_BUKET": source.bucket}
        with pytest.raises(SetupError) as refused:
            await call(event)
        said = [problem.what for problem in refused.value.problems]
        assert len(said) == 3
        for name in ("THUMBQ_PROCESSES", "did you mean THUMBQ_BUCKET", "THUMBQ_BUCKET is missing"):
            assert any(name in what for what in said)
        os.environ |= {"THUMBQ_PROCESSES": "1", "THUMBQ_BUCKET": f"{source.bucket}-x"}
        del os.environ["THUMBQ_BUKET"]
        with pytest.raises(SetupError, match="bucket"):
            await call(event)


async def test_callbacks_are_sent_to_their_queue(ministack_url: str, call: Call, tmp_path: Path) -> None:
    os.environ["THUMBQ_CONFIG"] = str(tmp_path / "thumbq.toml")
    url = "https://hooks.example.com/done"
    (tmp_path / "thumbq.toml").write_text(f'[webhooks]\nhosts = ["hooks.example.com"]\nurl = "{url}"\n')
    async with trigger(ministack_url, callbacks=True) as source:
        os.environ["THUMBQ_BUCKET"] = source.bucket
        event = await source.event(await source.job("photos/a.jpg", small_jpeg()))
        assert await call(event) == {"batchItemFailures": []}
        [callback] = [callbackmessage.decode(body) for body in await source.callbacks()]
    assert callback.url == url
    assert (callback.body["type"], callback.body["data"]["source"]["key"]) == ("job.done", "photos/a.jpg")


async def test_events_are_published(ministack_url: str, call: Call) -> None:
    async with trigger(ministack_url) as source:
        told = f"{source.bucket}-told"
        with aws_env(ministack_url):
            async with AioSession().create_client("sqs", region_name=REGION) as sqs:
                url = (await sqs.create_queue(QueueName=told))["QueueUrl"]
                os.environ |= {"THUMBQ_BUCKET": source.bucket}
                os.environ["THUMBQ_EVENTS"] = f"arn:aws:sqs:{REGION}:000000000000:{told}"
                event = await source.event(await source.job("photos/a.jpg", small_jpeg()))
                assert await call(event) == {"batchItemFailures": []}
                answer = await sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"])
    [message] = answer["Messages"]
    assert json.loads(message["Body"])["source"]["key"] == "photos/a.jpg"
    assert message["MessageAttributes"]["prefix"]["StringValue"] == "photos/"


async def test_a_batch_makes_one_line_for_cloudwatch(
    ministack_url: str, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    async with trigger(ministack_url) as source:
        os.environ["THUMBQ_BUCKET"] = source.bucket
        os.environ["THUMBQ_EMF"] = "true"
        for names in ("ab", "c"):
            ids = [await source.job(f"photos/{name}.jpg", small_jpeg()) for name in names]
            event = await source.event(*ids)
            await source.delete(event, await call(event))
    written = [metrics_of(line) for line in capsys.readouterr().err.splitlines() if line.startswith('{"_aws"')]
    assert [(line["JobsDone"], len(line["RenderTime"])) for line in written] == [(2, 2), (1, 1)]
