"""Problems with buckets and queues at the start and in `thumbq setup`, each with its fix."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from thumbq.aws.errorkinds import FOREIGN, Kind, kind_of, text_of
from thumbq.errors import Problem, SetupError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_aiobotocore_s3.client import S3Client
    from types_aiobotocore_sqs.client import SQSClient


def bucket_problem(error: BaseException, bucket: str, endpoint: str) -> Problem:
    """Return the problem that an error about a bucket means, with its fix."""
    match kind_of(error):
        case Kind.NO_OBJECT | Kind.NO_BUCKET:
            return Problem(f"there is no bucket {bucket}", "run `thumbq setup`, or correct THUMBQ_BUCKET")
        case Kind.DENIED:
            return Problem(
                f"no permission to see bucket {bucket}",
                f"allow s3:ListBucket on arn:aws:s3:::{bucket}, and s3:GetObject, s3:PutObject and s3:DeleteObject"
                f" on arn:aws:s3:::{bucket}/*; or the bucket is somebody else's: correct THUMBQ_BUCKET",
            )
        case kind:
            return _other_problem(error, kind, f"bucket {bucket}", "S3", endpoint)


def queue_problem(error: BaseException, queue: str, action: str, endpoint: str) -> Problem:
    """Return the problem that an error about a queue means, with its fix; ``action`` is IAM's name of the request."""
    match kind_of(error):
        case Kind.NO_QUEUE:
            return Problem(
                f"there is no {queue} in this account and region",
                "run `thumbq setup`, or correct its name in THUMBQ_QUEUE or [[queues]]",
            )
        case Kind.DENIED:
            return Problem(
                f"no permission to see {queue}: {action} is denied",
                f"allow {action} on it, and sqs:SendMessage, sqs:ReceiveMessage, sqs:DeleteMessage and"
                " sqs:ChangeMessageVisibility",
            )
        case kind:
            return _other_problem(error, kind, queue, "SQS", endpoint)


def _other_problem(error: BaseException, kind: Kind, subject: str, service: str, endpoint: str) -> Problem:
    if kind is Kind.UNREACHABLE:
        fix = f"check the network, AWS_REGION, AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_{service}"
        return Problem(f"{service} does not answer at {endpoint}: {text_of(error)}", fix)
    if kind is Kind.CREDENTIALS:
        return Problem(f"the AWS credentials do not work: {text_of(error)}", "renew or correct them")
    if kind is Kind.NONSENSE:
        fix = f"correct AWS_ENDPOINT_URL or AWS_ENDPOINT_URL_{service}: what answers at {endpoint} may be no {service}"
        return Problem(f"{service} gives no answer about {subject} that can be read: {text_of(error)}", fix)
    if kind is Kind.BUSY:
        return Problem(f"{service} cannot answer about {subject} now: {text_of(error)}", "try again in a moment")
    return Problem(
        f"{service} refuses to look at {subject}: {text_of(error)}",
        f"correct the setting; {service} runs at {endpoint}",
    )


def setup_problem(error: BaseException, subject: str, action: str, endpoint: str) -> Problem:
    """Return the reason why setup could not make something; ``action`` is IAM's name of the request."""
    if kind_of(error) is Kind.DENIED:
        return Problem(f"no permission to make {subject}: {action} is denied", f"allow {action} on it")
    return _other_problem(error, kind_of(error), subject, "S3" if action.startswith("s3:") else "SQS", endpoint)


@contextmanager
def explained(client: S3Client | SQSClient, subject: str, action: str) -> Iterator[None]:
    """Raise SetupError with the reason and its fix when a request of `thumbq setup` fails."""
    try:
        yield
    except FOREIGN as error:
        raise SetupError([setup_problem(error, subject, action, client.meta.endpoint_url)]) from error
