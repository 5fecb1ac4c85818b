"""A directory, a bucket and messages that the release before wrote are worked on by this one."""

from __future__ import annotations

import base64
import json
import os
import re
import sqlite3
import time
import tomllib
from contextlib import asynccontextmanager, closing
from subprocess import PIPE
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio import to_thread

from support.backends import open_local
from support.documents import OPERATIONS, ROOT, section
from support.doubles.clocks import SystemClock
from support.doubles.consuming import consuming, done, record, settled
from support.doubles.rendering import FakeRenderer
from support.patience import until
from support.replicas.place import Place, opened
from support.replicas.replica import THUMBQ
from support.servers.emulators import aws_env, aws_environment, plain_client, without_aws
from thumbq.aws.provision import provision
from thumbq.core import deadletter, keys, message
from thumbq.core.job import JobRequest, ObjectRef
from thumbq.core.manifest import MANIFEST_VERSION
from thumbq.local.schema import SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

EVERYTHING = JobRequest(ObjectRef("b", "k"), ("p",), "https://example.com", deletion=True, again=True, rerender="all")
"""A message with all members that there are."""

KEPT = sorted((ROOT / "tests" / "releases").glob("*.json"))


def directory_of(written: dict[str, Any], directory: Path) -> Path:
    """Put a local directory back; the lease of the replica that was killed has run out."""
    for name, content in written["local"]["files"].items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(base64.b64decode(content))
    with closing(sqlite3.connect(directory / "thumbq.sqlite3")) as connection:
        connection.executescript("\n".join(written["local"]["database"]))
        connection.execute("UPDATE messages SET visible_at = min(visible_at, ?)", [time.time()])
        connection.commit()
    return directory


def bucket_of(written: dict[str, Any], environment: dict[str, str]) -> None:
    """Put objects, messages and dead letters back."""
    s3, sqs = (plain_client(service, environment) for service in ("s3", "sqs"))
    with closing(s3), closing(sqs):
        for key, kept in written["aws"]["objects"].items():
            s3.put_object(
                Bucket=environment["THUMBQ_BUCKET"],
                Key=key,
                Body=base64.b64decode(kept["body"]),
                ContentType=kept["content_type"],
                Metadata=kept["metadata"],
            )
        for queue, kind in (
            (environment["THUMBQ_QUEUE"], "messages"),
            (f"{environment['THUMBQ_QUEUE']}-dlq", "dead_letters"),
        ):
            url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
            for kept in written["aws"][kind]:
                group = {} if kept["group"] is None else {"MessageGroupId": kept["group"]}
                sqs.send_message(QueueUrl=url, MessageBody=kept["body"], MessageAttributes=kept["attributes"], **group)


def asked_for(written: dict[str, Any], where: str) -> set[str]:
    """Return the keys whose messages wait."""
    if where == "aws":
        return {json.loads(message["body"])["key"] for message in written["aws"]["messages"]}
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript("\n".join(written["local"]["database"]))
        return {json.loads(body)["key"] for (body,) in connection.execute("SELECT body FROM messages")}


def members_of_messages() -> set[str]:
    """Return what the table says that messages of this release have."""
    cells = re.findall(
        r"^\| \d+\.\d+\.\d+ \| (.+) \| \d+ \| \d+ \|$", section(OPERATIONS, "Upgrade and rollback"), re.MULTILINE
    )
    assert all(cell.startswith("the same, ") for cell in cells[1:])
    return set(re.findall("`([a-z_]+)`", " ".join(cells)))


def test_the_table_of_releases_has_this_one_and_each_whose_work_is_kept_here() -> None:
    rows = re.findall(
        r"^\| (\d+\.\d+\.\d+) \|.*\| (\d+) \| (\d+) \|$", section(OPERATIONS, "Upgrade and rollback"), re.MULTILINE
    )
    *older, (release, manifest, directory) = rows
    assert members_of_messages() == set(json.loads(message.encode(EVERYTHING)))
    assert release == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert (int(manifest), int(directory)) == (MANIFEST_VERSION, SCHEMA_VERSION)
    kept = {path.stem: json.loads(path.read_text()) for path in KEPT}
    assert [release for release, _, _ in older] == sorted(kept)
    for release, manifest, directory in older:
        local = kept[release]["local"]
        assert f"PRAGMA user_version = {directory};" in local["database"]
        [done] = [
            content
            for name, content in local["files"].items()
            if f"manifests^2fuploads^2f{local['jobs']['done']}" in name
        ]
        assert json.loads(base64.b64decode(done))["version"] == int(manifest)


async def test_a_directory_is_worked_on_and_what_was_done_stays(written: dict[str, Any], tmp_path: Path) -> None:
    jobs = written["local"]["jobs"]
    directory = directory_of(written, tmp_path / "data")
    async with open_local(directory, clock=SystemClock()) as backend:
        before = await done(backend, keys.upload_key(jobs["done"]))
        assert before.version == MANIFEST_VERSION
        failed = await record(backend, keys.upload_key(jobs["failed"]))
        assert failed is not None
        assert failed.error is not None
        assert failed.error.code == "truncated"
        waiting = asked_for(written, "local")
        async with consuming(backend, FakeRenderer()):
            await settled(backend, dead=1)
        made = {key: await done(backend, key) for key in waiting}
        assert len(made) == 3
        assert all(manifest.renditions.keys() == {"thumbnail"} for manifest in made.values())
        again = made[keys.upload_key(jobs["killed"])]
        assert (again.receive_count, again.callback_url) == (2, "https://example.com/told")
        assert await done(backend, keys.upload_key(jobs["done"])) == before
        assert backend.dead_letters is not None
        [letter] = await backend.dead_letters.receive(max_messages=9, wait_s=0, visibility_timeout_s=9)
        assert json.loads(letter.body)["key"] == keys.upload_key(jobs["failed"])
        note = deadletter.decode(letter.note)
        assert note is not None
        assert note.code == "truncated"


@asynccontextmanager
async def restored(
    where: str, written: dict[str, Any], tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Place]:
    if where == "local":
        environment = {"THUMBQ_LOCAL": str(directory_of(written, tmp_path / "data"))}
    else:
        bucket, url = written["aws"]["bucket"], request.getfixturevalue("moto_url")
        environment = aws_environment(url) | {"THUMBQ_BUCKET": bucket, "THUMBQ_QUEUE": bucket}
        with aws_env(url):
            await provision(bucket=bucket, queues=[bucket])
        await to_thread.run_sync(bucket_of, written, environment)
    async with opened(tmp_path, environment) as place:
        yield place


@pytest.mark.long
@pytest.mark.real_time
@pytest.mark.parametrize("where", ["local", "aws"])
async def test_a_replica_goes_on_where_that_of_the_release_before_ended(
    where: str, written: dict[str, Any], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    jobs = written[where]["jobs"]
    async with restored(where, written, tmp_path, request) as place:
        replica = await place.replica()
        for key in asked_for(written, where):
            job_id = keys.upload_id(key)
            assert job_id is not None
            assert (await place.finished(replica, job_id, within_s=30))["status"] == "done"
        old = await place.job(replica, jobs["done"])
        assert (old["status"], old["original"]["filename"]) == ("done", "done.png")
        async with place.session.get(f"{replica.url}/jobs/{jobs['done']}/thumbnail") as answer:
            assert (answer.status, answer.content_type) == (200, "image/jpeg")
            async with place.backend() as backend:
                target = ObjectRef(backend.bucket, f"thumbnail/{jobs['done']}.jpg")
                assert (await backend.store.get(target, max_bytes=1 << 20))[1] == await answer.read()
        assert (await place.job(replica, jobs["failed"]))["error"]["code"] == "truncated"

        async def thumbq(*arguments: str) -> str:
            run = await anyio.run_process(
                [THUMBQ, *arguments], env=without_aws(os.environ) | place.environment, stdout=PIPE
            )
            return run.stdout.decode()

        # The replica's own look at its start hides dead letters for a moment.
        listed = await until(lambda: thumbq("dlq", "list", "--json"), within_s=30, what=replica.stderr)
        [letter] = map(json.loads, listed.splitlines())
        assert (letter["key"], letter["code"]) == (keys.upload_key(jobs["failed"]), "truncated")
        assert await thumbq("reconcile", "--json") == "", "no original is without its manifest"
        await thumbq("dlq", "redrive", letter["id"])
        await until(lambda: replica.events("message.buried"), within_s=30, what=replica.stderr)


def test_the_changelog_has_the_form_of_keep_a_changelog_and_says_how_to_upgrade() -> None:
    headings = re.findall("^(##+) (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    releases = [title for level, title in headings if level == "##"]
    assert releases[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", title) for title in releases[1:])
    kinds = {"Upgrading", "Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert {title for level, title in headings if level == "###"} <= kinds
    assert "Upgrading" in section("CHANGELOG.md", (releases[1:] or releases)[0])
