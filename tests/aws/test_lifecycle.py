"""`thumbq setup --retention`: a rule for each prefix, and rules of others stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from support.servers.scripted import s3_error
from thumbq.aws.lifecycle import EXPIRES_AFTER_DAYS, RULE_ID
from thumbq.aws.provision import provision
from thumbq.aws.retentionrules import set_retention
from thumbq.aws.session import open_clients
from thumbq.commands.setup import setup
from thumbq.errors import SetupError
from thumbq.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.servers.scripted import Script
    from thumbq.aws.session import Clients

OTHERS: Any = {"ID": "of others", "Status": "Disabled", "Filter": {"Prefix": "x/"}, "Expiration": {"Days": 3}}


@pytest.fixture
async def aws(moto: str) -> AsyncIterator[Clients]:
    assert moto
    async with open_clients(connections=2, wait_time_s=1) as clients:
        yield clients


async def rules(aws: Clients, name: str) -> dict[str, int]:
    found: Any = (await aws.s3.get_bucket_lifecycle_configuration(Bucket=name))["Rules"]
    ours = [rule for rule in found if rule["ID"] != OTHERS["ID"]]
    assert all(rule["ID"].startswith(RULE_ID) and rule["Status"] == "Enabled" for rule in ours)
    return {rule["Filter"]["Prefix"]: rule["Expiration"]["Days"] for rule in ours}


async def test_rules_follow_the_table_and_those_of_others_stay(aws: Clients, name: str) -> None:
    await provision(bucket=name, queues=[name])
    await aws.s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": [OTHERS]})
    (step,) = await set_retention(bucket=name, days={"uploads/": 30, "manifests/": 40})
    assert str(step) == f"made   lifecycle rules of bucket {name}: manifests/ 40 days, uploads/ 30 days"
    assert await rules(aws, name) == {"uploads/": 30, "manifests/": 40}
    assert [step.made for step in await set_retention(bucket=name, days={"uploads/": 30, "manifests/": 40})] == [False]
    assert [step.made for step in await set_retention(bucket=name, days={"uploads/": 60})] == [True]
    assert await rules(aws, name) == {"uploads/": 60}
    await set_retention(bucket=name, days={})
    found: Any = (await aws.s3.get_bucket_lifecycle_configuration(Bucket=name))["Rules"]
    assert [rule["ID"] for rule in found] == [OTHERS["ID"]]


async def test_without_any_rule_left_the_bucket_has_none(aws: Clients, name: str) -> None:
    await provision(bucket=name, queues=[name])
    await aws.s3.delete_bucket_lifecycle(Bucket=name)
    assert [step.made for step in await set_retention(bucket=name, days={})] == [False]
    await set_retention(bucket=name, days={"uploads/": 30})
    await set_retention(bucket=name, days={})
    with pytest.raises(aws.s3.exceptions.ClientError, match="NoSuchLifecycleConfiguration"):
        await aws.s3.get_bucket_lifecycle_configuration(Bucket=name)


async def test_rules_of_records_and_of_retention_do_not_remove_each_other(aws: Clients, name: str) -> None:
    async def prefixes() -> set[str]:
        found: Any = (await aws.s3.get_bucket_lifecycle_configuration(Bucket=name))["Rules"]
        return {rule["Filter"]["Prefix"] for rule in found}

    await provision(bucket=name, queues=[name])
    await set_retention(bucket=name, days={"uploads/": 30})
    assert await prefixes() == {*EXPIRES_AFTER_DAYS, "uploads/"}
    await set_retention(bucket=name, days={})
    assert await prefixes() == {*EXPIRES_AFTER_DAYS}
    await aws.s3.delete_bucket_lifecycle(Bucket=name)
    await set_retention(bucket=name, days={"uploads/": 30})
    await provision(bucket=name, queues=[name])
    assert await prefixes() == {*EXPIRES_AFTER_DAYS, "uploads/"}


async def test_a_retention_that_is_shorter_than_a_queue_keeps_its_dead_letters_is_refused(
    aws: Clients, name: str
) -> None:
    settings = Settings(bucket=name, queue=name, retention={"uploads/": 20, "thumbnail/": 2})
    assert (await setup(settings, retention=True))[-1].made
    url = (await aws.control.get_queue_url(QueueName=name))["QueueUrl"]
    await aws.control.set_queue_attributes(QueueUrl=url, Attributes={"MessageRetentionPeriod": str(14 * 86_400)})
    with pytest.raises(SetupError, match="28 days old"):
        await setup(settings, retention=True)


async def test_a_missing_right_is_told(script: Script, name: str) -> None:
    script.then(s3_error(403, "AccessDenied"))
    with pytest.raises(SetupError, match="s3:GetLifecycleConfiguration"):
        await set_retention(bucket=name, days={"uploads/": 30})
