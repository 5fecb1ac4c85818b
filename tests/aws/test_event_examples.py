"""The commands of the document about events, on moto, and what arrives behind them."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from aiobotocore.session import AioSession

from support.aws import awscli
from support.documents import EVENTS, example
from support.servers.emulators import REGION
from thumbq.aws.provision import provision
from thumbq.backends import open_backends
from thumbq.core.manifest import ErrorRecord, Manifest, RenditionRecord, SourceRecord
from thumbq.jobs.eventpublisher import event_announcers
from thumbq.settings import load

if TYPE_CHECKING:
    from pathlib import Path

ROLE = "arn:aws:iam::123456789012:role/pictures"


def manifest(number: int, *, preset: str = "thumbnail", failed: bool = False) -> Manifest:
    source = SourceRecord(bucket="sample-bucket", key=f"uploads/{number:026}", content_type="image/jpeg")
    made = RenditionRecord(
        bucket="sample-bucket",
        key=f"{preset}/x.jpg",
        width=1,
        height=1,
        bytes=9,
        content_type="image/jpeg",
        sha256="0" * 64,
        fingerprint="f",
    )
    return Manifest(
        status="failed" if failed else "done",
        source=source,
        renditions={} if failed else {preset: made},
        error=ErrorRecord(code="corrupt", message="no picture") if failed else None,
        finished_at=datetime.now(UTC),
    )


async def make_function(name: str) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("f.py", "def handler(event, context): ...")
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    session = AioSession()
    async with (
        session.create_client("iam", region_name=REGION) as iam,
        session.create_client("lambda", region_name=REGION) as functions,
    ):
        await iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
        await functions.create_function(
            FunctionName=name,
            Runtime="python3.13",
            Role=ROLE.replace("pictures", name),
            Handler="f.handler",
            Code={"ZipFile": packed.getvalue()},
        )


async def bodies(queue: str) -> list[Any]:
    async with AioSession().create_client("sqs", region_name=REGION) as sqs:
        url = (await sqs.get_queue_url(QueueName=queue))["QueueUrl"]
        answer = await sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        return [json.loads(message["Body"]) for message in answer.get("Messages", [])]


@pytest.mark.long
async def test_the_documented_commands_bring_a_topics_and_a_bus_events_where_they_say(
    moto: str, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    del moto
    monkeypatch.chdir(tmp_path)
    (tmp_path / "thumbq.toml").write_text(example(EVENTS, "Events", "toml").replace("pictures", name))
    await make_function(name)
    *commands, of_the_function = (
        command.replace("pictures", name)
        for heading in ("SNS to SQS", "EventBridge to Lambda")
        for command in example(EVENTS, heading, "text").splitlines()
    )
    queue = f"Id=queue,Arn=arn:aws:sqs:{REGION}:123456789012:{name}-rule"
    commands += [
        # moto calls no functions: a queue in the function's place gets what the rule lets through.
        f"aws sqs create-queue --queue-name {name}-rule",
        f"aws events put-targets --rule failed --event-bus-name {name} --targets {queue}",
    ]
    for command in commands:
        await awscli.run(command, region=REGION)
    await provision(bucket=name, queues=[f"{name}-jobs"])
    settings = load(bucket=name, queue=f"{name}-jobs")
    async with open_backends(settings) as [backend]:
        [publisher] = event_announcers(settings, backend)
        for told in (manifest(1), manifest(2, preset="card"), manifest(3, failed=True)):
            await publisher.announce(told, attempt=1)
    assert [job["id"] for job in await bodies(name)] == [f"{1:026}"]
    [event] = await bodies(f"{name}-rule")
    assert (event["detail-type"], event["detail"]["id"]) == ("job.failed", f"{3:026}")
    assert (await awscli.run(of_the_function, region=REGION))["FailedEntryCount"] == 0
