"""Settings of who may knock: hosts, origins and proxies."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, Field

from thumbq.core.origin import Authority, checked_origin
from thumbq.settings.lists import Texts, check_each

ANY: Final = "*"


def _origins(texts: tuple[str, ...]) -> tuple[str, ...]:
    check_each((text for text in texts if text != ANY), checked_origin)
    return texts


def _hosts(texts: tuple[str, ...]) -> tuple[str, ...]:
    check_each(texts, _check_host)
    return texts


def _check_host(text: str) -> None:
    authority = Authority.parse(text)
    if authority is None or authority.port is not None:
        raise ValueError(f"{text!r} is no host name: write one as thumbq.example.com, without a port")


def _networks(texts: tuple[str, ...]) -> tuple[str, ...]:
    check_each(texts, _check_network)
    return texts


def _check_network(text: str) -> None:
    try:
        ip_network(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no network: {error}") from None


class DoorSettings(BaseModel):
    """Which hosts, origins and proxies are known."""

    allowed_hosts: Annotated[Texts, AfterValidator(_hosts)] = Field(
        default=(),
        description="Names that the header `Host` may have; by default any, and the loopback's own on a loopback"
        " address.",
    )
    cors_origins: Annotated[Texts, AfterValidator(_origins)] = Field(
        default=(),
        description="Origins of other sites whose pages may use thumbq, as `https://example.com`; `*` for all.",
    )
    trusted_proxies: Annotated[Texts, AfterValidator(_networks)] = Field(
        default=(),
        description="Networks of proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` count, as `10.0.0.0/8`.",
    )
