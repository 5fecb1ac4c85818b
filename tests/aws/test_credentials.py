"""Credentials that stop working are looked for again, and a client goes on with those that are found."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import CredentialRetrievalError
from structlog.testing import capture_logs

from support.servers.scripted import s3_error, says, sqs_error
from thumbq.aws import credentials
from thumbq.aws.addresses import QueueAddress
from thumbq.aws.credentials import AFTER_S, Credentials
from thumbq.aws.jobqueue import SqsQueue
from thumbq.aws.presigned import S3PresignedUploads
from thumbq.aws.session import open_clients
from thumbq.aws.store import S3Store
from thumbq.core.job import ObjectRef
from thumbq.core.signing import UploadPolicy
from thumbq.errors import BackendError, BackendUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aiohttp import web

    from support.servers.scripted import Answer, Script

REF = ObjectRef("bucket-of-tests", "uploads/a")
STORED = says(200, ETag='"e"')
SENT = says(200, {"MessageId": "m", "MD5OfMessageBody": "x"})
NONE_RECEIVED = says(200, {"Messages": []})


class Found:
    """Credentials that ``find`` gives; an error instead of a key is raised."""

    method = "shared-credentials-file"

    def __init__(self, key: str | Exception) -> None:
        self._key = key

    async def get_frozen_credentials(self) -> ReadOnlyCredentials:
        if isinstance(self._key, Exception):
            raise self._key
        return ReadOnlyCredentials(self._key, "secret", None)


class Client:
    """As much of a client as is watched."""

    def __init__(self, service: str) -> None:
        self._handlers: dict[str, Callable[..., None]] = {}
        name = SimpleNamespace(hyphenize=lambda: service)
        model = SimpleNamespace(service_id=name)
        self.meta: Any = SimpleNamespace(
            service_model=model, events=SimpleNamespace(register=self._handlers.__setitem__)
        )
        self._service = service

    def answered(self, status: int = 200, code: str | None = None) -> None:
        parsed: dict[str, Any] = {"ResponseMetadata": {"HTTPStatusCode": status}}
        if code is not None:
            parsed["Error"] = {"Code": code}
        self._handlers[f"after-call.{self._service}"](parsed=parsed, model=SimpleNamespace(name="GetObject"))

    def failed(self, error: Exception) -> None:
        self._handlers[f"after-call-error.{self._service}"](exception=error)


class World:
    def __init__(self, *found: str | Exception | None) -> None:
        self.now = 1000.0
        self.looks = 0
        self._found = list(found)
        self.credentials = Credentials(Found("old"), self._find, now=lambda: self.now)
        self.s3, self.sqs = Client("s3"), Client("sqs")
        for client in (self.s3, self.sqs):
            self.credentials.watch(client)  # type: ignore[arg-type]

    async def _find(self) -> Found | None:
        self.looks += 1
        await anyio.lowlevel.checkpoint()
        key = self._found.pop(0)
        return None if key is None else Found(key)

    async def key(self, *, after_s: float = 0) -> str | None:
        self.now += after_s
        return (await self.credentials.get_frozen_credentials()).access_key


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "ExpiredToken"),
        (403, "ExpiredTokenException"),
        (403, "InvalidAccessKeyId"),
        (403, "InvalidClientTokenId"),
        (403, "SignatureDoesNotMatch"),
        (400, "400"),
    ],
)
async def test_after_a_minute_of_failures_they_are_found_again(status: int, code: str) -> None:
    world = World("new")
    assert await world.key() == "old"
    world.s3.answered(status, code)
    assert await world.key(after_s=AFTER_S - 1) == "old"
    world.s3.answered(status, code)
    with capture_logs() as logs:
        assert await world.key(after_s=1) == "new"
    assert logs == [{"event": "credentials.renewed", "log_level": "info", "method": "shared-credentials-file"}]
    world.s3.answered()
    assert await world.key(after_s=10 * AFTER_S) == "new"
    assert world.looks == 1


async def test_as_long_as_they_fail_they_are_looked_for_once_a_minute_and_by_one_request() -> None:
    world = World("old", ValueError("half of a file"), None, "new")
    await world.key()
    world.sqs.failed(CredentialRetrievalError(provider="assume-role", error_msg="the key has expired"))
    keys: list[str | None] = []

    async def sign() -> None:
        keys.append(await world.key())

    with capture_logs() as logs:
        for _ in range(4):
            world.now += AFTER_S
            async with anyio.create_task_group() as tasks:
                for _ in range(10):
                    tasks.start_soon(sign)
    assert (world.looks, set(keys[:30]), set(keys[30:])) == (4, {"old"}, {"new"})
    assert [line["event"].rpartition(".")[2] for line in logs] == ["unchanged", "not_found", "not_found", "renewed"]


async def test_a_success_ends_the_minute_of_its_own_service_only_and_a_denial_says_nothing() -> None:
    world = World("new")
    world.s3.answered(403, "ExpiredToken")
    world.s3.answered()
    assert await world.key(after_s=AFTER_S) == "old"
    world.s3.answered(403, "ExpiredToken")
    world.sqs.answered()
    world.s3.answered(403, "AccessDenied")
    assert await world.key(after_s=AFTER_S) == "new"


async def test_whatever_a_refresh_raises_is_about_credentials() -> None:
    world = World(RuntimeError("refreshed, but still expired"))
    world.credentials = Credentials(Found(RuntimeError("refreshed, but still expired")), world._find)
    with pytest.raises(CredentialRetrievalError, match="still expired"):
        await world.key()


def only(key: str, refusal: Answer, good: Answer) -> Answer:
    """Answer what is signed with a key; refuse all else."""

    async def answer(request: web.Request) -> web.StreamResponse:
        right = f"Credential={key}/" in request.headers["Authorization"]
        return await (good if right else refusal)(request)

    return answer


def takes(script: Script, key: str) -> None:
    """Have S3 and SQS take one key only."""
    for method, good in (("PUT", STORED), ("HEAD", STORED)):
        script.when(f"{method} /{REF.bucket}/{REF.key}", only(key, s3_error(403, "InvalidAccessKeyId"), good))
    for operation, good in (("SendMessage", SENT), ("ReceiveMessage", NONE_RECEIVED)):
        script.when(operation, only(key, sqs_error(403, "InvalidClientTokenId"), good))


ROLE = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>
<AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/r/s</Arn><AssumedRoleId>A:s</AssumedRoleId></AssumedRoleUser>
<Credentials><AccessKeyId>ROLE-OF-{key}</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>
<Expiration>{expires}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"""


def write_keys(file: Path, key: str) -> None:
    file.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = s\n")


@pytest.fixture
def keys_file(script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the shared credentials file that a session reads after the environment was emptied of keys."""
    del script  # sets the environment first
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    file = tmp_path / "credentials"
    write_keys(file, "OLDKEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setattr(credentials, "AFTER_S", 0)
    return file


async def every_kind_of_request(script: Script, keys_file: Path, *, old: str, new: str) -> None:
    """Rotate the key under open clients, and see that all of them go on."""
    async with open_clients(connections=4, wait_time_s=1) as clients:
        store, forms = S3Store(clients.s3, clients.fast_path), S3PresignedUploads(clients.s3)
        queue = SqsQueue(clients.control, clients.polling, QueueAddress("http://127.0.0.1/1/q", "arn", None))
        policy = UploadPolicy(REF, "image/png", 10, {})

        async def signer() -> str:
            post = await forms.presign(policy, expires_s=60)
            return dict(post.fields)["x-amz-credential"].partition("/")[0]

        takes(script, old)
        await store.put(REF, b"x", content_type="image/png")
        assert await signer() == old
        takes(script, new)
        with pytest.raises(BackendError):
            await store.put(REF, b"x", content_type="image/png")
        with pytest.raises(BackendError):
            await queue.send("cat.png")
        with pytest.raises(BackendUnavailable):
            await queue.receive(max_messages=1, wait_s=0, visibility_timeout_s=4)
        write_keys(keys_file, "NEWKEY")
        await store.put(REF, b"x", content_type="image/png")
        assert await queue.send("cat.png") == "m"
        assert await queue.receive(max_messages=1, wait_s=0, visibility_timeout_s=4) == []
        assert await signer() == new


async def test_a_key_that_is_rotated_in_its_file_is_taken_up_by_all_clients(script: Script, keys_file: Path) -> None:
    await every_kind_of_request(script, keys_file, old="OLDKEY", new="NEWKEY")


async def test_a_role_is_assumed_with_the_key_that_was_rotated(
    script: Script, keys_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    config.write_text("[profile worker]\nrole_arn = arn:aws:iam::1:role/worker\nsource_profile = default\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", "worker")

    async def assume(request: web.Request) -> web.StreamResponse:
        key = request.headers["Authorization"].partition("Credential=")[2].partition("/")[0]
        body = ROLE.format(key=key, expires="2999-01-01T00:00:00Z")
        return await says(200, body.encode())(request)

    script.when("POST /", assume)
    await every_kind_of_request(script, keys_file, old="ROLE-OF-OLDKEY", new="ROLE-OF-NEWKEY")
    assert "AWS_ACCESS_KEY_ID" not in os.environ
