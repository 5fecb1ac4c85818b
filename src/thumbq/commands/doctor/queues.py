"""The queues: rights on them, their limits, their dead-letter queues, and the events that S3 sends."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from thumbq.aws.addresses import (
    DeadLetterAddress,
    QueueAddress,
    max_bytes,
    name_of,
    redrive_policy,
    retention_s,
    whole_number,
)
from thumbq.aws.check import named
from thumbq.aws.errorkinds import Kind, kind_of
from thumbq.aws.jobqueue import SqsQueue
from thumbq.aws.problems import queue_problem
from thumbq.commands.doctor.asking import ask, look, right_is_missing
from thumbq.commands.doctor.findings import Level
from thumbq.worker.warnings import start_warnings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from types_aiobotocore_sqs.client import SQSClient

    from thumbq.aws.session import Clients
    from thumbq.commands.doctor.findings import Findings
    from thumbq.ports import QueueAttributes
    from thumbq.settings import Settings

_SEND: Final = ("sqs:SendMessage",)
_ALL: Final = (*_SEND, "sqs:ReceiveMessage", "sqs:ChangeMessageVisibility", "sqs:DeleteMessage")
_COUNTS: Final = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)


@dataclass(frozen=True, slots=True)
class SeenQueue:
    """A queue that can be looked at, with its attributes and those of its dead-letter queue, as SQS names them."""

    address: QueueAddress
    attributes: dict[str, str]


async def look_at_queues(clients: Clients, settings: Settings, findings: Findings) -> dict[str, SeenQueue]:
    """Look at each queue that the settings name; returns those that can be seen, by the names in the settings."""
    callbacks = settings.webhooks_queue
    seen: dict[str, SeenQueue] = {}
    for config in settings.opened_queues:
        found = await _look_at_queue(clients, config.queue or "", findings, sweeps=config != callbacks)
        if found is not None:
            seen[config.queue or ""] = found
    of_jobs = [await _attributes(clients, seen[each.queue]) for each in settings.queue_configs if each.queue in seen]
    of_callbacks = None if callbacks is None else seen.get(callbacks.queue or "")
    attributes = None if of_callbacks is None else await _attributes(clients, of_callbacks)
    findings.problems(start_warnings(settings, of_jobs, attributes))
    for each in seen.values():
        await _owners(clients.control, each, [one.address for one in seen.values()], findings)
    return seen


async def _attributes(clients: Clients, seen: SeenQueue) -> QueueAttributes:
    return await SqsQueue(clients.control, clients.polling, seen.address).attributes()


async def _look_at_queue(clients: Clients, queue: str, findings: Findings, *, sweeps: bool) -> SeenQueue | None:
    sqs = clients.control
    found = await _find(sqs, f"queue {queue}", named(queue), _ALL, findings)
    if found is None:
        return None
    url, attributes = found
    target, dead = redrive_policy(attributes).target_arn, None
    if target:
        name = target.rpartition(":")[2]
        rights = _ALL if sweeps else _SEND
        dead_found = await _find(sqs, f"dead-letter queue {name}", named(target), rights, findings)
        if dead_found is not None:
            dead = DeadLetterAddress(
                dead_found[0],
                target,
                max_bytes=max_bytes(dead_found[1]),
                retention_s=retention_s(dead_found[1]),
            )
            _note_dead_letters(dead_found[1], name, findings)
    return SeenQueue(QueueAddress(url, attributes["QueueArn"], dead, max_bytes(attributes)), attributes)


async def _find(
    sqs: SQSClient, subject: str, named: dict[str, str], rights: Sequence[str], findings: Findings
) -> tuple[str, dict[str, str]] | None:
    """Return a queue's URL and attributes, and try each right on it; None where it cannot be looked at."""
    url = named.get("url")
    if url is None:
        parameters: Any = named
        answer = await ask(sqs.get_queue_url(**parameters))
        url = answer.members.get("QueueUrl")
        if answer.denied:
            right_is_missing(findings, "sqs:GetQueueUrl", subject)
            return None
        if url is None:
            _not_found(findings, answer.error, subject, "sqs:GetQueueUrl", sqs.meta.endpoint_url)
            return None
    answer = await ask(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"]))
    if answer.error is not None and not answer.denied:
        _not_found(findings, answer.error, subject, "sqs:GetQueueAttributes", sqs.meta.endpoint_url)
        return None
    if answer.denied:
        right_is_missing(findings, "sqs:GetQueueAttributes", subject)
    for right in rights:
        if await _is_denied(sqs, right, url):
            right_is_missing(findings, right, subject)
    attributes = answer.members.get("Attributes", {})
    return (url, attributes) if "QueueArn" in attributes else None


def _not_found(findings: Findings, error: BaseException | None, subject: str, action: str, endpoint: str) -> None:
    if error is None:
        error = ValueError("the answer has no QueueUrl")
    level = Level.FINDING if kind_of(error) is Kind.NO_QUEUE else Level.NOT_SEEN
    findings.problems([queue_problem(error, subject, action, endpoint)], level)


async def _is_denied(sqs: SQSClient, right: str, url: str) -> bool:
    """Try a right by a request that can do nothing: SQS looks at the right first, and then refuses the request.

    A batch needs the right of its single action (Amazon SQS Developer Guide, "Amazon SQS API permissions").
    """
    match right:
        case "sqs:SendMessage":
            answer = await ask(sqs.send_message_batch(QueueUrl=url, Entries=[]))
        case "sqs:DeleteMessage":
            answer = await ask(sqs.delete_message_batch(QueueUrl=url, Entries=[]))
        case "sqs:ChangeMessageVisibility":
            answer = await ask(sqs.change_message_visibility_batch(QueueUrl=url, Entries=[]))
        case _:
            none: dict[str, Any] = {"MaxNumberOfMessages": 0, "VisibilityTimeout": 0, "WaitTimeSeconds": 0}
            answer = await ask(sqs.receive_message(QueueUrl=url, **none))
    return answer.denied


def _note_dead_letters(attributes: dict[str, str], name: str, findings: Findings) -> None:
    if dead := sum(whole_number(attributes, each) or 0 for each in _COUNTS):
        findings.note(f"{dead} dead letters in {name}", "each is a job that has failed for good", "thumbq dlq list")


async def _owners(sqs: SQSClient, seen: SeenQueue, own: Sequence[QueueAddress], findings: Findings) -> None:
    """Look whose dead letters lie on a queue's dead-letter queue."""
    dead = seen.address.dead
    if dead is None:
        return
    if dead.arn.split(":")[4] != seen.address.arn.split(":")[4]:
        findings.finding(
            f"dead-letter queue {dead.name} of queue {seen.address.name} belongs to account {dead.arn.split(':')[4]}",
            "`thumbq dlq` can neither show nor send back what another account keeps",
            "give the queue a dead-letter queue of its own account: thumbq setup",
        )
    call = sqs.list_dead_letter_source_queues(QueueUrl=dead.url)
    answer = await look(findings, "sqs:ListDeadLetterSourceQueues", call)
    sources = {name_of(url) for url in (answer.members.get("queueUrls", []) if answer is not None else ())}
    if others := sorted(sources - {address.name for address in own}):
        findings.finding(
            f"dead-letter queue {dead.name} also takes the dead letters of {', '.join(others)}",
            "`thumbq dlq redrive --all` would send theirs to this queue",
            f"give queue {seen.address.name} a dead-letter queue of its own: aws sqs set-queue-attributes --queue-url"
            f" {seen.address.url} --attributes RedrivePolicy=…",
        )


def lets_s3_send(policy: str, bucket_arn: str) -> bool:
    """Whether a queue's policy lets S3 send the events of this bucket."""
    try:
        statements = _listed(json.loads(policy or "{}").get("Statement"))
        return any(_allows(statement, bucket_arn) for statement in statements)
    except (AttributeError, TypeError, ValueError):
        return False


def _allows(statement: dict[str, Any], bucket_arn: str) -> bool:
    principal = statement.get("Principal")
    who = _listed(principal.get("Service")) if isinstance(principal, dict) else [principal]
    actions = {str(each).lower() for each in _listed(statement.get("Action"))}
    sources = [
        str(each)
        for condition in statement.get("Condition", {}).values()
        for name, value in condition.items()
        if name.lower() == "aws:sourcearn"
        for each in _listed(value)
    ]
    return (
        statement.get("Effect") == "Allow"
        and not {"s3.amazonaws.com", "*"}.isdisjoint(map(str, who))
        and not actions.isdisjoint({"sqs:sendmessage", "sqs:*", "*"})
        and (not sources or any(each == bucket_arn or each.endswith("*") for each in sources))
    )


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]
