"""The table of callbacks: what turns them on, and everything wrong in it at once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from support import documents, tables
from support.documents import CALLBACKS
from thumbq.errors import SetupError
from thumbq.settings import Settings, load, only_queue
from thumbq.webhooks.making import callback_rules

GOOD, OTHER = f"whsec_{'a' * 32}", f"whsec_{'b' * 32}"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("THUMBQ_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def loaded(table: str, **overrides: Any) -> Settings:
    Path("thumbq.toml").write_text(table)
    return load(**overrides)


def problems(table: str) -> list[str]:
    """Return what keeps a service from starting with this table."""
    with pytest.raises(SetupError) as wrong:
        loaded(table, serving=True)
    assert all(problem.fix for problem in wrong.value.problems)
    return [problem.what for problem in wrong.value.problems]


def test_without_the_table_none_are_called() -> None:
    settings = load()
    assert settings.webhooks_queue is None
    assert callback_rules(settings) is None
    assert settings.opened_queues == settings.queue_configs


def test_the_table_turns_them_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THUMBQ_BUCKET", "photos")
    monkeypatch.setenv("THUMBQ_QUEUE", "jobs.fifo")
    settings = loaded(f'[webhooks]\nhosts = ["A.example"]\nsecrets = ["{GOOD}"]\n')
    assert settings.webhooks_queue is not None
    assert (settings.webhooks_queue.name, settings.webhooks_queue.queue) == ("webhooks", "jobs-webhooks")
    assert settings.opened_queues == (*settings.queue_configs, settings.webhooks_queue)
    rules = callback_rules(settings)
    assert rules is not None
    assert rules.refusal("https://a.example/") is None
    assert rules.refusal("https://10.0.0.7/") is not None
    assert settings.signing_secrets() == (GOOD,)


def test_secrets_come_from_a_variable_or_a_file_too(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("secrets").write_text(f"{GOOD}\n{OTHER}\n")
    table = '[webhooks]\nhosts = ["a.example"]\n'
    assert loaded(f'{table}secrets_file = "secrets"\n').signing_secrets() == (GOOD, OTHER)
    monkeypatch.setenv("THUMBQ_WEBHOOK_SECRETS", f"{OTHER} {GOOD}")
    assert loaded(table).signing_secrets() == (OTHER, GOOD)
    assert loaded(f'{table}secrets = ["{GOOD}"]\n').signing_secrets() == (OTHER, GOOD)


def test_everything_wrong_is_said_at_once_and_no_secret() -> None:
    table = """
        [webhooks]
        hosts = ["https://a.example"]
        secrets = ["whsec_SECRET", "SECRET", "whsec_SECRET="]
        url = "ftp://a.example"
        ports = [0]
        networks = ["10.0.0.1/8"]
        allow_http = "yes"
        timeout_s = 31
        hots = []
    """
    said = problems(table)
    places = ("hosts", "secrets.0", "secrets.1", "secrets.2", "url", "ports", "networks", "allow_http", "timeout_s")
    for place in (*places, "hots is no setting; did you mean hosts?"):
        assert len([what for what in said if f"webhooks.{place}" in what]) == 1, (place, said)
    assert len(said) == len(places) + 1, "nothing else is wrong, such as the number of ports"
    assert not any("SECRET" in what for what in said)


CLASH = "has a name that callbacks take"
TABLE = f'[webhooks]\nhosts = ["a.example"]\nsecrets = ["{GOOD}"]\n'


@pytest.mark.parametrize(
    ("table", "part"),
    [
        ("[webhooks]\n", "webhooks.hosts: Field required"),
        ("[webhooks]\nhosts = []\n", "webhooks.hosts"),
        ('webhooks = "yes"\n', "webhooks"),
        ('[webhooks]\nhosts = ["a.example"]\n', "has no secret"),
        ('[webhooks]\nhosts = ["a.example"]\nsecrets_file = "nowhere"\n', "cannot read nowhere"),
        (f'{TABLE}secrets_file = "x"\n', "exclude each other"),
        (f'{TABLE}url = "https://b.example"\n', "could never be called"),
        (f'local = "data"\n[[queues]]\nname = "webhooks"\n{TABLE}', CLASH),
        (f'local = "data"\n[[queues]]\nname = "a"\n[[queues]]\nname = "a-webhooks"\n{TABLE}', CLASH),
    ],
)
def test_a_table_that_cannot_be_is_refused(table: str, part: str) -> None:
    said = problems(table)
    assert any(part in what for what in said), said


def test_who_makes_no_calls_needs_no_secret() -> None:
    for table in (
        '[webhooks]\nhosts = ["a.example"]\n',
        '[webhooks]\nhosts = ["a.example"]\nsecrets_file = "nowhere"\n',
    ):
        assert loaded(table).webhooks is not None


def test_a_variable_that_cannot_sign_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THUMBQ_WEBHOOK_SECRETS", f"{GOOD} whsec_SECRET")
    [said] = problems('[webhooks]\nhosts = ["a.example"]\n')
    assert said.startswith("secret 2 of [webhooks] cannot sign")
    assert "SECRET" not in said
    [said] = problems("")
    assert said == "THUMBQ_WEBHOOK_SECRETS is set, and there is no table [webhooks]"
    assert GOOD not in repr(loaded(f'[webhooks]\nhosts = ["a"]\nsecrets = ["{GOOD}"]\n', webhook_secrets=GOOD))


def test_commands_about_dead_letters_know_the_queue_by_its_name() -> None:
    settings = loaded(f'local = "data"\n[webhooks]\nhosts = ["a.example"]\nsecrets = ["{GOOD}"]\n')
    assert only_queue(settings, "webhooks", or_webhooks=True).default_queue.queue == "-webhooks"
    with pytest.raises(SetupError, match="no queue named webhooks"):
        only_queue(settings, "webhooks")
    with pytest.raises(SetupError, match=r"write \[webhooks\] into thumbq.toml"):
        only_queue(loaded(""), "webhooks", or_webhooks=True)


def test_the_documented_table_works_and_each_member_is_documented() -> None:
    settings = loaded(documents.example(CALLBACKS, "Settings", "toml"))
    rules = callback_rules(settings)
    assert rules is not None
    assert rules.refusal("https://hooks.example.com/thumbnails") is None
    assert tables.of_webhooks() in documents.section(CALLBACKS, "Settings")
