"""The hosts of callbacks."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

import anyio

from thumbq.webhooks.lookup import Lookup
from thumbq.webhooks.making import callback_rules

if TYPE_CHECKING:
    from thumbq.commands.doctor.findings import Findings
    from thumbq.settings import Settings

_LOOKUP_S: Final = 5.0
_NOT_CALLED: Final = "callbacks to it fail until they are given up"


async def look_at_hosts(settings: Settings, findings: Findings) -> None:
    """Look each host of callbacks up that is named in full, and whether its addresses may be called."""
    rules = callback_rules(settings)
    for host in () if rules is None else rules.hosts:
        if "*" in host or rules is None:
            continue
        try:
            with anyio.fail_after(_LOOKUP_S):
                found = await Lookup().resolve(host.strip("[]"), 443, socket.AF_UNSPEC)
        except (OSError, TimeoutError) as error:
            said = str(error) or f"no answer within {_LOOKUP_S:g} s"
            fix = "correct hosts of [webhooks], or the name server"
            findings.finding(f"host {host} of callbacks has no address: {said}", _NOT_CALLED, fix)
            continue
        reasons = [rules.address_refusal(ip_address(each["host"].partition("%")[0])) for each in found]
        if reasons and all(reasons):
            fix = "name its network in networks of [webhooks], or correct hosts"
            findings.finding(f"host {host} of callbacks may not be called: it is {reasons[0]}", _NOT_CALLED, fix)
