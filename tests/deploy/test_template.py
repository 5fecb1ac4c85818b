"""What the CloudFormation template and the policy promise, read from the files and from `deploy/README.md`."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from support import documents
from support.aws import rights
from support.aws.templates import read_template
from support.documents import DEPLOY
from thumbq import settings
from thumbq.core import keys
from thumbq.core.tombstone import REMEMBERED_S
from thumbq.intake import claims
from thumbq.memory import needed_bytes

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def template() -> Any:
    return read_template(ROOT / "deploy" / "cloudformation.yaml")


@pytest.fixture
def container(template: Any) -> Any:
    [container] = template["Resources"]["TaskDefinition"]["Properties"]["ContainerDefinitions"]
    return container


@pytest.fixture
def in_force(template: Any, container: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> settings.Settings:
    """Return the settings of a task, by the parameters' defaults."""
    monkeypatch.chdir(tmp_path)
    for variable in container["Environment"]:
        value = variable["Value"]
        if isinstance(value, dict) and "If" in value:
            value = value["If"][2]
        if not isinstance(value, str):
            value = template["Parameters"].get(value["Ref"], {}).get("Default", "given-by-the-stack")
        monkeypatch.setenv(variable["Name"], str(value))
    return settings.load(serving=True, host="0.0.0.0")


def test_a_task_has_time_for_thumbqs_own_shutdown(template: Any, container: Any, in_force: settings.Settings) -> None:
    longest_of_fargate_s = 120
    assert in_force.shutdown_deadline_s + 5 <= container["StopTimeout"] <= longest_of_fargate_s
    [delay] = template["Resources"]["TargetGroup"]["Properties"]["TargetGroupAttributes"]
    assert int(delay["Value"]) <= in_force.shutdown_deadline_s


def test_a_task_holds_what_a_replica_may_need(template: Any, in_force: settings.Settings) -> None:
    memory = template["Parameters"]["TaskMemory"]
    assert memory["Default"] << 20 >= needed_bytes(in_force)
    # As the parameter's text says: 1 GiB for each render process, and 1 GiB for the rest.
    assert needed_bytes(in_force) <= (in_force.processes + 1) << 30
    assert memory["MinValue"] << 20 >= needed_bytes(in_force.model_copy(update={"processes": 1}))
    assert template["Parameters"]["TaskCpu"]["Default"] == 1024 * in_force.processes


def test_a_task_has_no_rights_on_its_host_and_nothing_to_write_but_tmp(container: Any) -> None:
    assert container["User"] == "10001:10001"
    assert container["ReadonlyRootFilesystem"] is True
    assert container["LinuxParameters"]["Capabilities"] == {"Drop": ["ALL"]}
    assert [mount["ContainerPath"] for mount in container["LinuxParameters"]["Tmpfs"]] == ["/tmp"]


def test_a_task_asks_for_the_tokens_of_the_secret_or_is_open_behind_an_internal_load_balancer(
    template: Any, container: Any, in_force: settings.Settings
) -> None:
    secret = {"Ref": "TokensSecretArn"}
    assert template["Parameters"]["TokensSecretArn"]["Default"] == ""
    assert template["Conditions"]["WithTokens"] == {"Not": [{"Equals": [secret, ""]}]}
    assert {"Name": "THUMBQ_ACCESS", "Value": {"If": ["WithTokens", "tokens", "open"]}} in container["Environment"]
    assert in_force.access == "open"
    assert template["Parameters"]["InternetFacing"]["Default"] == "false"
    condition, given, none = container["Secrets"]["If"]
    assert (condition, none) == ("WithTokens", {"Ref": "AWS::NoValue"})
    assert given == [{"Name": "THUMBQ_TOKENS", "ValueFrom": secret}]
    condition, [policy], none = template["Resources"]["ExecutionRole"]["Properties"]["Policies"]["If"]
    assert (condition, none) == ("WithTokens", {"Ref": "AWS::NoValue"})
    [statement] = policy["PolicyDocument"]["Statement"]
    assert statement == {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": secret}
    public = template["Rules"]["ThePublicNeedsTokens"]
    assert {"Equals": [{"Ref": "InternetFacing"}, "true"]} in public["RuleCondition"]["And"]
    assert public["Assertions"][0]["Assert"] == template["Conditions"]["WithTokens"]


def test_the_load_balancer_asks_for_readiness_and_ecs_for_liveness(template: Any, container: Any) -> None:
    assert template["Resources"]["TargetGroup"]["Properties"]["HealthCheckPath"] == "/readyz"
    assert container["HealthCheck"]["Command"][-1] == "/livez"


def test_only_records_expire_and_none_before_what_it_tells_of(template: Any) -> None:
    bucket = template["Resources"]["Bucket"]["Properties"]
    queues = [
        template["Resources"][name]["Properties"]["MessageRetentionPeriod"] for name in ("Queue", "DeadLetterQueue")
    ]
    expiring = {
        rule["Prefix"]: rule["ExpirationInDays"]
        for rule in bucket["LifecycleConfiguration"]["Rules"]
        if "ExpirationInDays" in rule
    }
    outlive_messages = (keys.CRASH_RECORDS_PREFIX, keys.FAILED_MESSAGES_PREFIX)
    others = (keys.PRESIGNED_PREFIX, keys.TOMBSTONES_PREFIX, keys.IDEMPOTENCY_PREFIX)
    assert expiring.keys() == {*outlive_messages, *others}
    assert expiring[keys.IDEMPOTENCY_PREFIX] * 86_400 > claims.COUNTS_S
    assert expiring[keys.TOMBSTONES_PREFIX] * 86_400 > REMEMBERED_S > queues[1]
    assert expiring[keys.PRESIGNED_PREFIX] < REMEMBERED_S
    longest_form_s = next(
        limit.le for limit in settings.Settings.model_fields["upload_expiry_s"].metadata if hasattr(limit, "le")
    )
    assert expiring[keys.PRESIGNED_PREFIX] * 86_400 > longest_form_s
    assert min(expiring[prefix] for prefix in outlive_messages) * 86_400 > sum(queues)
    assert queues[1] > queues[0]


def test_the_documented_command_gives_the_parameters_that_the_service_cannot_do_without(template: Any) -> None:
    command = documents.example(DEPLOY, "CloudFormation", "text")
    given = set(re.findall(r"\b([A-Z]\w+)=", command))
    asked_for = re.findall(r"needs (\w+)", json.dumps(template["Rules"]))
    assert given == set(asked_for)
    assert given <= template["Parameters"].keys()


def test_the_document_tells_what_each_right_of_the_policy_is_for() -> None:
    policy = json.loads((ROOT / "deploy" / "iam-policy.json").read_text())
    section = documents.section(DEPLOY, "Rights")
    told = {
        action for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for action in re.findall(r"`(.+?)`", row)
    }
    assert told == {grant.action for grant in rights.grants(policy)}


def test_the_actions_of_the_table_are_ones_that_aws_knows_for_these_resources() -> None:
    text = resources.files("cfnlint").joinpath("data/AdditionalSpecs/Policies.json").read_text()
    reference = json.loads(text)
    wanted = {(action, kind) for (_, kind), action in rights.S3_ACTIONS.items() if action != "s3:PutObject"}
    wanted |= {("s3:PutObject", "object")} | {(action, "queue") for action in rights.SQS_ACTIONS.values()}
    wanted |= {(action, "topic") for action in rights.SNS_ACTIONS.values()}
    wanted |= {(action, "event-bus") for action in rights.EVENTS_ACTIONS.values()}
    for action, kind in wanted:
        service, _, name = action.partition(":")
        assert kind in reference[service]["Actions"][name.lower()]["Resources"], action


@pytest.mark.parametrize("path", ["cloudformation.yaml", "lambda/sam.yaml"])
def test_who_publishes_events_has_the_rights_that_the_document_names(path: str) -> None:
    statement = (ROOT / "deploy" / path).read_text().partition("Sid: EventTargets")[2].partition("Resource:")[0]
    granted = set(re.findall(r"(?:sns|sqs|events):[A-Z]\w+", statement))
    queues = {"sqs:GetQueueUrl", "sqs:SendMessage"}
    assert granted == {*rights.SNS_ACTIONS.values(), *rights.EVENTS_ACTIONS.values(), *queues}
    assert granted == set(re.findall(r"`((?:sns|sqs|events):\w+)`", documents.section(documents.EVENTS, "Rights")))


def test_a_task_is_told_the_events_targets_that_are_made_and_that_are_given(template: Any, container: Any) -> None:
    [condition, given, none] = next(
        variable["Value"]["If"] for variable in container["Environment"] if variable["Name"] == "THUMBQ_EVENTS"
    )
    assert (condition, none) == ("TellsOfJobs", "")
    made = {"If": ["MakesEventTopic", {"Ref": "EventTopic"}, ""]}
    assert given == {"Join": [",", [made, {"Join": [",", {"Ref": "EventTargets"}]}]]}
    assert template["Parameters"]["MakeEventTopic"]["Default"] == "false"
    assert template["Resources"]["EventTopic"]["Condition"] == "MakesEventTopic"
