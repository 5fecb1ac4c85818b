"""`thumbq doctor` on S3 and SQS: a right that is missing, or a thing that is set up wrong, is the one finding."""

from __future__ import annotations

import inspect
import json
import random
import time
import uuid
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from support.aws.rights import S3_ACTIONS, SQS_ACTIONS
from support.servers.emulators import REGION, aws_env, aws_environment, plain_client
from support.servers.fault_proxy import Asked, fault_proxy
from thumbq.aws.events import wire_events
from thumbq.aws.provision import provision
from thumbq.aws.retentionrules import set_retention
from thumbq.commands.doctor import Examined, Level, examine
from thumbq.process import SystemClock
from thumbq.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from support.servers.fault_proxy import FaultProxy

ACCOUNT = "123456789012"

SEEN_BY_US = {
    "publicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "encryption": "s3:GetEncryptionConfiguration",
    "lifecycle": "s3:GetLifecycleConfiguration",
    "versioning": "s3:GetBucketVersioning",
    "cors": "s3:GetBucketCORS",
    "notification": "s3:GetBucketNotification",
}
"""What only the doctor asks of a bucket, by the name in the query."""

KEYS = {"/attempts/probe-doctor", "/uploads/doctor"}
OF_QUEUES = sorted({*SQS_ACTIONS.values()})
RIGHTS = [
    *[(right, "") for right in ("s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject")],
    *[(right, queue) for right in OF_QUEUES for queue in ("jobs", "jobs-dlq", "jobs-webhooks")],
    *[(right, "jobs-webhooks-dlq") for right in ("sqs:GetQueueUrl", "sqs:GetQueueAttributes", "sqs:SendMessage")],
]


def needed(asked: Asked) -> tuple[str, str]:
    """Return the right that a request needs, and the queue it is on; "" for S3."""
    if asked.service == "sqs":
        where = json.loads(asked.body)
        queue = where.get("QueueName") or where["QueueUrl"].rpartition("/")[2]
        return SQS_ACTIONS.get(asked.operation, f"sqs:{asked.operation}"), queue
    parts = urlsplit(asked.path)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name, right in SEEN_BY_US.items():
        if name in query:
            return right, ""
    return S3_ACTIONS[asked.operation, "object" if parts.path.strip("/").count("/") else "bucket"], ""


@dataclass
class Place:
    """A bucket and queues as they should be, behind a proxy that keeps what was asked."""

    proxy: FaultProxy
    environment: dict[str, str]
    bucket: str
    clock: Any = field(default_factory=SystemClock)
    settings: dict[str, Any] = field(default_factory=dict)

    def queue(self, name: str) -> str:
        return name.replace("jobs", self.bucket, 1)

    def client(self, service: str) -> Any:
        return plain_client(service, self.environment)

    def url(self, name: str) -> str:
        return str(self.client("sqs").get_queue_url(QueueName=self.queue(name))["QueueUrl"])

    def set(self, name: str, **attributes: str) -> None:
        sqs, url = self.client("sqs"), self.url(name)
        # moto drops a policy that is not set again.
        kept = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"]).get("Attributes", {})
        sqs.set_queue_attributes(QueueUrl=url, Attributes=kept | attributes)

    async def examined(self) -> Examined:
        given: dict[str, Any] = {
            "bucket": self.bucket,
            "queue": self.bucket,
            "webhooks": {"hosts": ["1.1.1.1"], "secrets": [f"whsec_{'A' * 32}"]},
        }
        # No limit of this test's own container is to count.
        given |= {"processes": 1, "max_uploads": 1, "render_memory_bytes": 256 << 20, "max_in_flight_bytes": 32 << 20}
        given |= {"max_source_bytes": 32 << 20}
        settings = Settings(**given | self.settings)
        before, asked_before = self.objects(), len(self.proxy.asked)
        try:
            return await examine(settings, {}, clock=self.clock, renders=False)
        finally:
            changing = [asked for asked in self.proxy.asked[asked_before:] if self._may_change(asked)]
            assert changing == []
            assert self.objects() == before

    def objects(self) -> list[Any]:
        """Return every version and marker in the bucket."""
        listed = self.client("s3").list_object_versions(Bucket=self.bucket)
        return [listed.get(kind, []) for kind in ("Versions", "DeleteMarkers")]

    def _may_change(self, asked: Asked) -> bool:
        """Whether a request could change anything but our own object, which is removed again."""
        if asked.service == "s3":
            key = asked.path.partition("?")[0].partition(self.bucket)[2]
            return asked.operation not in ("HEAD", "GET") and key not in KEYS
        if asked.operation.startswith(("Get", "List", "Describe")):
            return False
        if asked.service == "sns":
            return "PublishBatchRequestEntries.member" in asked.body
        body: dict[str, Any] = json.loads(asked.body)
        if asked.service == "events":
            return any(entry.keys() - {"EventBusName"} for entry in body["Entries"])
        return body.get("Entries") != [] and body.get("MaxNumberOfMessages") != 0

    async def found(self) -> list[str]:
        """Return what is to be mended."""
        return [each.what for each in (await self.examined()).findings if each.level is not Level.NOTE]

    def state(self) -> Any:
        """Return all that the doctor could change."""
        s3, sqs = self.client("s3"), self.client("sqs")
        names = ("jobs", "jobs-dlq", "jobs-webhooks", "jobs-webhooks-dlq")
        return (
            self.objects(),
            [sqs.get_queue_attributes(QueueUrl=self.url(name), AttributeNames=["All"])["Attributes"] for name in names],
            s3.get_bucket_notification_configuration(Bucket=self.bucket).get("QueueConfigurations"),
            s3.get_public_access_block(Bucket=self.bucket)["PublicAccessBlockConfiguration"],
        )


@pytest.fixture
async def place(moto: str) -> AsyncIterator[Place]:
    async with set_up(moto) as made:
        yield made


@asynccontextmanager
async def set_up(emulator: str, ending: str = "") -> AsyncIterator[Place]:
    """Set everything up as it should be; the default queue's name ends with ``ending``."""
    bucket = f"thumbq-{uuid.uuid4().hex[:12]}"
    await provision(bucket=bucket, queues=[f"{bucket}{ending}"], callbacks=f"{bucket}-webhooks")
    if not ending:
        await wire_events(bucket=bucket, queue=bucket)
    environment = aws_environment(emulator)
    async with fault_proxy(emulator, random.Random(1)) as proxy:
        with aws_env(await proxy.endpoint("doctor")):
            yield Place(proxy, environment, bucket)


async def without(place: Place, right: str, queue: str) -> Examined:
    name = place.queue(queue)

    def refused(asked: Asked) -> tuple[int, str] | None:
        if needed(asked) == (right, name):
            return 403, "AccessDenied" if asked.service == "s3" else "AccessDeniedException"
        return None

    place.proxy.refused = refused
    try:
        return await place.examined()
    finally:
        place.proxy.refused = lambda _: None


async def test_what_is_set_up_as_it_should_be_has_no_findings_and_stays_as_it_is(place: Place) -> None:
    place.client("sqs").send_message(QueueUrl=place.url("jobs"), MessageBody="uploads/x")
    before = place.state()
    examined = await place.examined()
    assert (examined.findings, examined.exit_code) == ((), 0)
    assert place.state() == before


@pytest.mark.long
async def test_another_server_and_a_fifo_queue_have_no_findings_either(ministack_url: str, moto: str) -> None:
    with aws_env(ministack_url):
        async with set_up(ministack_url) as place:
            assert (await place.examined()).findings == ()
    async with set_up(moto, ".fifo") as place:
        place.settings = {"queue": f"{place.bucket}.fifo", "webhooks": None}
        # `thumbq setup` gives a FIFO queue ten receives.
        assert [each.what for each in (await place.examined()).findings] == []


async def test_a_versioned_bucket_keeps_no_version_of_what_was_tried(place: Place) -> None:
    s3 = place.client("s3")
    s3.put_bucket_versioning(Bucket=place.bucket, VersioningConfiguration={"Status": "Enabled"})
    before = place.state()
    assert await place.found() == [f"bucket {place.bucket} keeps all versions for ever"]
    assert place.state() == before


async def test_a_versioned_bucket_whose_versions_nobody_may_remove_gets_none(place: Place) -> None:
    s3 = place.client("s3")
    s3.put_bucket_versioning(Bucket=place.bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=place.bucket, Key="uploads/one", Body=b"")

    hidden = {"nothing"}

    def refused(asked: Asked) -> tuple[int, str] | None:
        removes = asked.service == "s3" and asked.operation == "DELETE" and "versionId" in asked.path
        return (403, "AccessDenied") if removes or needed(asked)[0] in hidden else None

    place.proxy.refused = refused
    for right in ("nothing", "s3:GetBucketVersioning"):
        hidden.add(right)
        notes = [each.what for each in (await place.examined()).findings if each.level is Level.NOTE]
        assert f"s3:PutObject and s3:DeleteObject were not tried: bucket {place.bucket} is versioned" in notes


async def test_a_right_that_is_missing_is_the_one_finding_and_the_rest_is_looked_at(place: Place) -> None:
    for right, queue in (("s3:GetObject", ""), ("sqs:ReceiveMessage", "jobs-dlq")):
        examined = await without(place, right, queue)
        assert [each.what.partition(" on ")[0] for each in examined.findings] == [right]
        assert examined.exit_code == 1


@pytest.mark.long
@pytest.mark.parametrize(("right", "queue"), RIGHTS)
async def test_each_right_that_is_missing_is_the_one_finding(place: Place, right: str, queue: str) -> None:
    examined = await without(place, right, queue)
    [finding] = [each for each in examined.findings if each.level is not Level.NOTE]
    assert finding.what.startswith(f"{right} on ")
    assert queue == "" or place.queue(queue) in finding.what
    assert finding.fix.startswith(f"allow {right} on ")


async def test_without_any_right_all_the_rest_is_reported(place: Place) -> None:
    place.settings = {"host": "0.0.0.0", "access": "open", "visibility_timeout_s": 30}
    place.proxy.refused = lambda asked: (403, "AccessDenied" if asked.service == "s3" else "AccessDeniedException")
    found = await place.found()
    assert found[0] == "thumbq is open on 0.0.0.0"
    rights = {"s3:ListBucket", "s3:DeleteObject", "sqs:GetQueueUrl"}  # what cannot be removed is not put
    assert {each.partition(" on ")[0] for each in found[1:]} == rights


@pytest.mark.parametrize("right", [*sorted(SEEN_BY_US.values()), "sqs:ListDeadLetterSourceQueues"])
@pytest.mark.long
async def test_what_only_the_doctor_may_not_see_is_a_note(place: Place, right: str) -> None:
    place.settings = {"cors_origins": ["https://example.com"]} if right == "s3:GetBucketCORS" else {}
    place.proxy.refused = lambda asked: (
        (403, "AccessDenied" if asked.service == "s3" else "AccessDeniedException")
        if needed(asked)[0] == right
        else None
    )
    examined = await place.examined()
    [note] = examined.findings
    assert (note.level, examined.exit_code) == (Level.NOTE, 0)
    assert note.what.endswith(right)


@pytest.mark.long
@pytest.mark.parametrize("right", ["sns:Publish", "events:PutEvents", "sqs:SendMessage"])
async def test_a_target_that_takes_no_events_is_the_one_finding_and_nothing_is_published(
    place: Place, right: str
) -> None:
    sqs, sns = place.client("sqs"), place.client("sns")
    topic = sns.create_topic(Name=place.bucket)["TopicArn"]
    bus = place.client("events").create_event_bus(Name=place.bucket)["EventBusArn"]
    queue = f"{place.bucket}-events"
    url = sqs.create_queue(QueueName=queue)["QueueUrl"]
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}"
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    place.settings = {"events": [topic, bus, arn]}
    assert (await place.examined()).findings == ()
    counted = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    assert counted["Attributes"]["ApproximateNumberOfMessages"] == "0"

    def refused(asked: Asked) -> tuple[int, str] | None:
        asks = {"PublishBatch": "sns:Publish", "PutEvents": "events:PutEvents", "SendMessageBatch": "sqs:SendMessage"}
        publishes = asks.get(asked.operation) == right and (asked.service != "sqs" or queue in asked.body)
        return (403, "AccessDeniedException") if publishes else None

    place.proxy.refused = refused
    [finding] = (await place.examined()).findings
    assert finding.what.startswith(f"{right} on arn:aws:")


@dataclass(frozen=True)
class Skewed:
    """A clock that goes wrong by so many seconds."""

    by_s: float

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time() + self.by_s


def redrive(place: Place, name: str, dead: str, receives: int, account: str = ACCOUNT) -> None:
    arn = f"arn:aws:sqs:{REGION}:{account}:{place.queue(dead)}"
    place.set(name, RedrivePolicy=json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": receives}))


def dead_letters_gone(place: Place) -> None:
    sqs = place.client("sqs")
    url = sqs.create_queue(QueueName=f"{place.bucket}-gone")["QueueUrl"]
    redrive(place, "jobs", "jobs-gone", 10)
    sqs.delete_queue(QueueUrl=url)


def another_source(place: Place) -> None:
    place.client("sqs").create_queue(QueueName=f"{place.bucket}-other")
    redrive(place, "jobs-other", "jobs-dlq", 10)


def lifecycle(place: Place, **rule: Any) -> None:
    place.client("s3").put_bucket_lifecycle_configuration(
        Bucket=place.bucket,
        LifecycleConfiguration={"Rules": [{"ID": "old", "Status": "Enabled", "Filter": {"Prefix": ""}} | rule]},
    )


async def other_retention(place: Place) -> None:
    await set_retention(bucket=place.bucket, days={"uploads/": 100})
    place.settings["retention"] = {"uploads/": 365}


def retention_of_some(place: Place) -> None:
    """Make a rule that goes by a tag too, and so removes nothing for sure."""
    chosen = {"And": {"Prefix": "uploads/", "Tags": [{"Key": "old", "Value": "yes"}]}}
    lifecycle(place, Filter=chosen, Expiration={"Days": 365})
    place.settings["retention"] = {"uploads/": 365}


async def retention_left(place: Place) -> None:
    await set_retention(bucket=place.bucket, days={"thumbnail/": 30})


def cors(place: Place) -> None:
    rule = {"AllowedMethods": ["POST"], "AllowedOrigins": ["https://other.example"]}
    place.client("s3").put_bucket_cors(Bucket=place.bucket, CORSConfiguration={"CORSRules": [rule]})
    place.settings["cors_origins"] = ["https://example.com"]


def no_events(place: Place) -> None:
    s3 = place.client("s3")
    s3.put_bucket_notification_configuration(Bucket=place.bucket, NotificationConfiguration={})
    s3.put_object(Bucket=place.bucket, Key="inbox/one", Body=b"")


def events_elsewhere(place: Place) -> None:
    no_events(place)
    place.client("s3").put_bucket_notification_configuration(
        Bucket=place.bucket,
        NotificationConfiguration={
            "QueueConfigurations": [
                {
                    "Id": "thumbq-inbox",
                    "QueueArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{place.queue('jobs-dlq')}",
                    "Events": ["s3:ObjectCreated:*"],
                }
            ]
        },
    )


def given(**settings: Any) -> Callable[[Place], None]:
    return lambda place: place.settings.update(settings)


def hooks(*hosts: str, **more: Any) -> Callable[[Place], None]:
    return given(webhooks={"hosts": list(hosts), "secrets": [f"whsec_{'A' * 32}"]} | more)


def clock(by_s: float) -> Callable[[Place], None]:
    return lambda place: setattr(place, "clock", Skewed(by_s))


BROKEN: dict[str, tuple[Callable[[Place], Any], str]] = {
    "clock-ahead": (clock(300), "s apart"),
    "clock-behind": (clock(-300), "s apart"),
    "no-bucket": (given(bucket="thumbq-there-is-none"), "there is no bucket thumbq-there-is-none"),
    "no-queue": (given(queue="thumbq-there-is-none", webhooks=None), "there is no queue thumbq-there-is-none"),
    "open": (given(host="0.0.0.0", access="open"), "thumbq is open on 0.0.0.0"),
    "open-6": (given(host="::", access="open"), "thumbq is open on ::"),
    "nobody-asked": (given(host="0.0.0.0"), "is no loopback address"),
    "no-tokens": (given(access="tokens"), "clients need tokens"),
    "short-visibility": (given(visibility_timeout_s=30, heartbeat_s=14), "less than 3 heartbeats"),
    "few-receives": (lambda place: redrive(place, "jobs", "jobs-dlq", 2), "allows 2 receives"),
    "no-redrive": (lambda place: place.set("jobs", RedrivePolicy=""), "has no redrive policy"),
    "no-dead-letter-queue": (dead_letters_gone, "there is no dead-letter queue"),
    "no-callback-queue": (
        lambda place: place.client("sqs").delete_queue(QueueUrl=place.url("jobs-webhooks")),
        "-webhooks",
    ),
    "small-messages": (lambda place: place.set("jobs", MaximumMessageSize="1024"), "at most 1024 bytes"),
    "small-callbacks": (lambda place: place.set("jobs-webhooks", MaximumMessageSize="2048"), "at most 2048 bytes"),
    "short-dead-letters": (lambda place: place.set("jobs-dlq", MessageRetentionPeriod="3600"), "are kept for 3600 s"),
    "shared-dead-letters": (another_source, "also takes the dead letters of"),
    "callbacks-receives": (lambda place: redrive(place, "jobs-webhooks", "jobs-webhooks-dlq", 3), "allows 3 receives"),
    "callbacks-retention": (lambda place: place.set("jobs-webhooks", MessageRetentionPeriod="7200"), "for 7200 s"),
    "callbacks-no-redrive": (lambda place: place.set("jobs-webhooks", RedrivePolicy=""), "has no redrive policy"),
    "public": (lambda place: place.client("s3").delete_public_access_block(Bucket=place.bucket), "public access"),
    "plain": (lambda place: place.client("s3").delete_bucket_encryption(Bucket=place.bucket), "encrypts nothing"),
    "expires": (lambda place: lifecycle(place, Expiration={"Days": 3}), "removes originals after 3 days"),
    "no-retention": (given(retention={"uploads/": 365}), "'uploads/' of bucket"),
    "other-retention": (other_retention, "after 365 days, and the lifecycle rules do it after 100"),
    "retention-of-some": (retention_of_some, "after 365 days, and no lifecycle rule does it"),
    "retention-left": (retention_left, "removes 'thumbnail/' after 30 days, and [retention] does not"),
    "archives": (
        lambda place: lifecycle(place, Transitions=[{"Days": 1, "StorageClass": "GLACIER"}]),
        "archives originals",
    ),
    "no-cors": (given(cors_origins=["https://example.com"]), "takes no forms from pages of https://example.com"),
    "other-cors": (
        cors,
        "takes no forms from pages of https://example.com",
    ),
    "no-events": (no_events, "tells nobody of originals under inbox/"),
    "events-elsewhere": (events_elsewhere, "which is another queue"),
    "no-policy": (lambda place: place.set("jobs", Policy=""), "does not let bucket"),
    "loopback-host": (hooks("127.0.0.1"), "it is a loopback address"),
    "private-host": (hooks("10.1.2.3"), "it is a private address"),
    "no-secret": (hooks("1.1.1.1", secrets=[]), "has no secret"),
    "no-topic": (given(events=[f"arn:aws:sns:{REGION}:{ACCOUNT}:there-is-none"]), "there is no arn:aws:sns"),
    "no-target-queue": (given(events=[f"arn:aws:sqs:{REGION}:{ACCOUNT}:there-is-none"]), "there is no arn:aws:sqs"),
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name == "shared-dead-letters" else pytest.mark.long) for name in BROKEN],
)
async def test_what_is_set_up_wrong_is_the_one_finding(place: Place, name: str) -> None:
    break_it, what = BROKEN[name]
    made = break_it(place)
    if inspect.isawaitable(made):
        await made
    examined = await place.examined()
    found = [each for each in examined.findings if each.level is not Level.NOTE]
    assert len(found) == 1, found
    [finding] = found
    assert what in finding.what
    assert finding.why
    assert finding.fix
    assert examined.exit_code == 1


@pytest.mark.parametrize("variables", [{"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, {"AWS_ACCESS_KEY_ID": ""}])
@pytest.mark.long
async def test_what_cannot_be_looked_at_is_said_with_exit_code_2(
    place: Place, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    examined = await place.examined()
    assert {each.level for each in examined.findings} == {Level.NOT_SEEN}
    assert examined.exit_code == 2
