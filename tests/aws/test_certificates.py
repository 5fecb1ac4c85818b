"""What certificates are checked by is read once for all clients, and again for clients that are opened later."""

from __future__ import annotations

import shutil
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.httpsession import get_cert_path

from thumbq.aws import httpsession
from thumbq.aws.session import Clients, open_clients

if TYPE_CHECKING:
    import pytest

END = "-----END CERTIFICATE-----\n"


def cut_to_one(bundle: Path) -> None:
    bundle.write_text(bundle.read_text().partition(END)[0] + END)


async def contexts(clients: Clients) -> list[ssl.SSLContext]:
    opened: tuple[Any, ...] = (clients.s3, clients.control, clients.polling)
    return [(await client._endpoint.http_session._get_session(None)).connector._ssl for client in opened]


async def test_clients_check_by_the_same_and_later_ones_by_what_the_file_has_then(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bundle = Path(shutil.copy(str(get_cert_path(verify=True)), tmp_path))
    monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    async with open_clients(connections=1, wait_time_s=0) as clients:
        first, *others = await contexts(clients)
        assert others == [first, first]
        assert first.check_hostname
        assert first.verify_mode is ssl.CERT_REQUIRED
        assert len(first.get_ca_certs()) > 1
        assert [path for path, _ in httpsession._contexts].count(str(bundle)) == 1
    cut_to_one(bundle)
    async with open_clients(connections=1, wait_time_s=0) as clients:
        assert len((await contexts(clients))[0].get_ca_certs()) == 1
