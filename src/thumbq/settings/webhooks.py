"""Settings of callbacks: which endpoints may be called, and what signs."""

from __future__ import annotations

import base64
import binascii
from ipaddress import ip_network
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from thumbq.core import callback
from thumbq.core.callbackrules import CallbackRules, host_pattern
from thumbq.errors import Problem
from thumbq.settings.faults import Fault, fault
from thumbq.settings.paths import NamedPath

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from ipaddress import IPv4Network, IPv6Network

_PREFIX: Final = "whsec_"
_LEAST_BYTES: Final = 24
_MOST_BYTES: Final = 64
_MAKE_ONE: Final = "make one: echo whsec_$(openssl rand -base64 32)"


def secret_fault(secret: str) -> str | None:
    """Say what is wrong with a secret; None when it can sign.

    Source: Standard Webhooks, "Signature scheme": Base64 of 24 to 64 random bytes behind ``whsec_``.
    """
    if not secret.startswith(_PREFIX):
        return f"it does not begin with {_PREFIX}"
    try:
        size = len(base64.b64decode(secret.removeprefix(_PREFIX), validate=True))
    except binascii.Error:
        return f"it is no Base64 behind {_PREFIX}"
    if not _LEAST_BYTES <= size <= _MOST_BYTES:
        return f"it has {size} bytes, and must have {_LEAST_BYTES} to {_MOST_BYTES}"
    return None


def _secret(secret: str) -> str:
    if (what := secret_fault(secret)) is not None:
        raise ValueError(f"{what}; {_MAKE_ONE}")
    return secret


def _network(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError as error:
        raise ValueError(f"{error}: write a network such as 10.20.0.0/16") from error


class WebhooksTable(BaseModel):
    """The table ``[webhooks]``; with it callbacks are called."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hosts: tuple[Annotated[str, AfterValidator(host_pattern)], ...] = Field(
        min_length=1, description="Hosts that may be called: a name, an address, or `*.example.com`. Required."
    )
    secrets: tuple[Annotated[str, AfterValidator(_secret)], ...] = Field(
        default=(),
        repr=False,
        description="`whsec_…`: the first one signs, the others sign besides while they are here.",
    )
    secrets_file: NamedPath | None = Field(default=None, description="File with such secrets, one a line, instead.")
    url: Annotated[str, AfterValidator(callback.checked)] | None = Field(
        default=None, description="Called for jobs without a `callback_url`."
    )
    ports: tuple[Annotated[int, Field(ge=1, le=65_535, strict=True)], ...] = Field(
        default=(443,), min_length=1, description="Ports that may be called."
    )
    networks: tuple[Annotated[str, AfterValidator(_network)], ...] = Field(
        default=(), description="Networks of private addresses that may be called; public ones always may."
    )
    allow_http: bool = Field(default=False, strict=True, description="Whether `http://` may be called too.")
    timeout_s: int = Field(default=10, ge=1, le=30, description="How long a call may take.")

    def refusal(self, url: str) -> str | None:
        """Return which setting keeps a URL from being called, whatever its address is."""
        return CallbackRules(self.hosts, self.ports, self.allow_http, lambda _: None).refusal(url)

    @property
    def private_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The networks that may be called."""
        return tuple(ip_network(text) for text in self.networks)


class WebhookSettings(BaseModel):
    """Whether callbacks are called, and how."""

    webhooks: WebhooksTable | None = Field(
        default=None, description="`[webhooks]` table: callbacks are called ([Callbacks](callbacks.md))."
    )
    webhook_secrets: str | None = Field(
        default=None,
        repr=False,
        description="Secrets that sign callbacks, with spaces between them, instead of those in `[webhooks]`.",
    )

    def signing_secrets(self) -> tuple[str, ...]:
        """Return the secrets, the first one first; those of the file as it is now. Raises OSError and ValueError."""
        if self.webhook_secrets is not None:
            return tuple(self.webhook_secrets.split())
        table = self.webhooks
        if table is None or table.secrets_file is None:
            return () if table is None else table.secrets
        return tuple(table.secrets_file.read_text(encoding="utf-8").split())

    def webhook_faults(self) -> Iterator[Fault]:
        """Yield the conflicts among these."""
        fields = ("webhooks", "webhook_secrets")
        if self.webhooks is None:
            if self.webhook_secrets is not None:
                what = "THUMBQ_WEBHOOK_SECRETS is set, and there is no table [webhooks]"
                yield fault(*fields, what=what, fix="write the table into thumbq.toml, or unset the variable")
            return
        if self.webhooks.url is not None and (reason := self.webhooks.refusal(self.webhooks.url)) is not None:
            what = f"the url of [webhooks] could never be called: {reason}"
            yield fault(*fields, what=what, fix="correct it, or allow it")
        if self.webhooks.secrets and self.webhooks.secrets_file is not None:
            what = "secrets and secrets_file of [webhooks] exclude each other"
            yield fault(*fields, what=what, fix="remove one of them")

    def secret_problems(self) -> Iterator[Problem]:
        """Yield what keeps callbacks from being signed; only who calls needs to."""
        if self.webhooks is None:
            return
        file = self.webhooks.secrets_file
        try:
            secrets = self.signing_secrets()
        except OSError as error:
            what = f"cannot read {file}, the secrets_file of [webhooks]: {error.strerror}"
            yield Problem(what, "make it a file that thumbq may read")
            return
        except ValueError:
            yield Problem(f"{file}, the secrets_file of [webhooks], is no text", _MAKE_ONE)
            return
        if not secrets:
            fix = f"{_MAKE_ONE}; give it as THUMBQ_WEBHOOK_SECRETS, or as secrets or secrets_file in [webhooks]"
            yield Problem("callbacks are signed, and [webhooks] has no secret", fix)
        for number, secret in enumerate(secrets, 1):
            if (wrong := secret_fault(secret)) is not None:
                yield Problem(f"secret {number} of [webhooks] cannot sign: {wrong}", _MAKE_ONE)


def secret_problems(values: Mapping[str, Any]) -> tuple[Problem, ...]:
    """Return what keeps a service from signing callbacks, of settings that are valid or have been reported already."""
    try:
        settings = WebhookSettings(**{name: values[name] for name in WebhookSettings.model_fields if name in values})
    except ValidationError:
        return ()
    return tuple(settings.secret_problems())
