"""Clients of S3, SQS and what events are published to, configured by botocore's own variables."""

from __future__ import annotations

import io
import os
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.exceptions import BotoCoreError, ConfigNotFound, ConfigParseError, ProfileNotFound

from thumbq.aws.credentials import CredentialFinder
from thumbq.aws.fastpath import FastPath
from thumbq.aws.httpsession import HttpSession
from thumbq.aws.models import model_loader
from thumbq.aws.parsers import StrictParsers
from thumbq.aws.requestbody import in_pieces
from thumbq.aws.sends import note_tries
from thumbq.core.targetarn import places
from thumbq.errors import Problem, SetupError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Mapping

    from types_aiobotocore_s3.client import S3Client
    from types_aiobotocore_sqs.client import SQSClient

_ATTEMPTS: Final = 3
_CONNECT_S: Final = 3
_S3_READ_S: Final = 10
_CONTROL_READ_S: Final = 5
_READ_SLACK_S: Final = 10

_ENDPOINTS: Final = {"sns": "SNS", "sqs": "SQS", "events": "EVENTBRIDGE"}
"""What the variables of endpoints call the services that events are published to."""


@dataclass(frozen=True, slots=True)
class Clients:
    """One client for S3 and two for SQS, so that a heartbeat never queues behind a long poll."""

    s3: S3Client
    fast_path: FastPath
    control: SQSClient
    polling: SQSClient
    publishing: Mapping[tuple[str, str], Any]
    """Those that events are published by, each by its service and region."""


@asynccontextmanager
async def open_clients(*, connections: int, wait_time_s: int, events: Iterable[str] = ()) -> AsyncIterator[Clients]:
    """Open the clients with up to ``connections`` connections each; polls wait up to ``wait_time_s`` seconds.

    ``events`` are the ARNs of what events are published to: each service and region has a client of its own.
    All files that requests need are read here; later only credentials that fail are looked for again, once a minute.
    Raises SetupError when profile, region, credentials or endpoints cannot be used.
    """
    session = AioSession()
    session.lazy_register_component("data_loader", lambda: model_loader(session.get_config_variable("data_path")))
    session.register_component("response_parser_factory", StrictParsers())
    session.register_component("credential_provider", CredentialFinder(session))
    region = await _checked_region(session)
    # At an endpoint that is not Amazon's own, botocore puts the bucket's name into the path.
    # By itself it would sign presigned uploads with version 2, which newer regions do not take.
    storage = _config(connections, read_s=_S3_READ_S).merge(AioConfig(signature_version="s3v4"))
    short = _config(connections, read_s=_CONTROL_READ_S)
    # A receive that is sent twice hides the messages of the first answer.
    long = _config(connections, read_s=wait_time_s + _READ_SLACK_S, attempts=1)
    problems: list[Problem] = []
    async with AsyncExitStack() as stack:
        with _collected("S3", problems):
            s3 = await stack.enter_async_context(session.create_client("s3", region_name=region, config=storage))
        with _collected("SQS", problems):
            control, polling = [
                await stack.enter_async_context(session.create_client("sqs", region_name=region, config=config))
                for config in (short, long)
            ]
        publishing: dict[tuple[str, str], Any] = {}
        for service, elsewhere in places(events):
            with _collected(_ENDPOINTS[service], problems):
                client: Any = session.create_client(service, region_name=elsewhere, config=short)
                publishing[service, elsewhere] = await stack.enter_async_context(client)
        if problems:
            raise SetupError(problems)
        credentials: Any = await session.get_credentials()  # what CredentialFinder gives
        for client in (s3, control, polling, *publishing.values()):
            credentials.watch(client)
            client.meta.events.register("before-send", _in_pieces)
        s3.meta.events.register_first("needs-retry.s3.HeadBucket", _ask_no_further)
        for client in (control, polling, *publishing.values()):
            note_tries(client)
        yield Clients(s3, FastPath(s3, credentials), control, polling, publishing)


async def _checked_region(session: AioSession) -> str:
    try:
        session.get_scoped_config()
    except (ProfileNotFound, ConfigParseError, ConfigNotFound) as error:
        fix = "correct AWS_PROFILE, or the file that AWS_CONFIG_FILE names (~/.aws/config)"
        raise SetupError([Problem(str(error), fix)]) from error
    problems = []
    # botocore itself reads AWS_DEFAULT_REGION and the profile; the other SDKs read AWS_REGION.
    region = os.environ.get("AWS_REGION") or session.get_config_variable("region")
    if not region:
        problems.append(Problem("no AWS region is set", "export AWS_REGION=…, such as ap-northeast-1"))
    try:
        missing = None if await session.get_credentials() else "no AWS credentials were found"
    except BotoCoreError as error:
        missing = str(error)
    if missing is not None:
        fix = "export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run where a role gives them"
        problems.append(Problem(missing, fix))
    if problems:
        raise SetupError(problems)
    return str(region)


@contextmanager
def _collected(service: str, problems: list[Problem]) -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ValueError) as error:  # ValueError: an endpoint that is no URL
        fix = f"correct AWS_REGION, AWS_ENDPOINT_URL or AWS_ENDPOINT_URL_{service}"
        problems.append(Problem(f"the client of {service} cannot be made: {error}", fix))


def _config(connections: int, *, read_s: int, attempts: int = _ATTEMPTS) -> AioConfig:
    return AioConfig(
        http_session_cls=HttpSession,
        connect_timeout=_CONNECT_S,
        read_timeout=read_s,
        max_pool_connections=connections,
        retries={"total_max_attempts": attempts, "mode": "standard"},
    )


def _ask_no_further(request_dict: Any, response: Any, **_: Any) -> None:
    """Let the HEAD of a bucket that is redirected to no known region be an error.

    By itself botocore would ask for the region by a HEAD of the bucket, which is redirected like the first one, and so
    on: a RecursionError.
    """
    if response is not None and "x-amz-bucket-region" not in response[0].headers:
        request_dict["context"].get("s3_redirect", {})["redirected"] = True


def _in_pieces(request: Any, **_: Any) -> None:
    """Have aiohttp write a large body in pieces, without a copy of it.

    botocore makes a BytesIO of what is put. It shares the bytes that it was made of, and so does its ``getvalue``.
    """
    body = request.body.getvalue() if isinstance(request.body, io.BytesIO) else request.body
    if isinstance(body, bytes):
        request.body = in_pieces(body)
