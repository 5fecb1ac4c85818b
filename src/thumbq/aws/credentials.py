"""The credentials of all clients, which are looked for anew once requests have failed by them for a minute.

botocore renews those that it fetches itself, before they expire. What it read from a file it never reads again: keys of
a shared credentials file, and the keys that a profile assumes its role with. A file that somebody else renews (a
sidecar, a rotation of keys) would need a restart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import anyio
import structlog
from aiobotocore.session import AioSession
from botocore.exceptions import BotoCoreError, ClientError, CredentialRetrievalError

from thumbq.aws.errorkinds import Kind, kind_of, text_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from botocore.credentials import ReadOnlyCredentials
    from types_aiobotocore_s3.client import S3Client
    from types_aiobotocore_sqs.client import SQSClient

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

AFTER_S: Final = 60.0
"""How long requests of a service fail by their credentials before these are looked for, and how often then."""

_FAILURES: Final = (BotoCoreError, ClientError, OSError, RuntimeError, ValueError, KeyError)
"""What finding or refreshing credentials raises: also what botocore lets through of files and of answers."""


class Credentials:
    """What a client uses of credentials: those that ``find`` gives, which are found again when they fail.

    No request waits for that but those that are about to be signed with credentials that fail.
    """

    def __init__(
        self, found: Any, find: Callable[[], Awaitable[Any]], *, now: Callable[[], float] = anyio.current_time
    ) -> None:
        self._found = found
        self._find = find
        self._now = now
        self._failing: dict[str, float] = {}
        """By service: since when its requests fail by their credentials, with no success since."""
        self._looked_at = -AFTER_S
        self._looking = anyio.Lock()
        self._key: str | None = None

    @property
    def method(self) -> str:
        """Where they come from, as botocore calls it."""
        return str(self._found.method)

    def get_account_id(self) -> Any:
        """Return the account, as far as it is known."""
        return self._found.get_account_id()

    def get_deferred_property(self, name: str) -> Callable[[], Any]:
        """Return a function that gives a member."""
        return lambda: getattr(self._found, name, None)

    async def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Return the keys to sign a request with. Raises CredentialRetrievalError."""
        if self._failing:
            await self._look_again()
        keys = await self._frozen(self._found)
        self._key = keys.access_key
        return keys

    def watch(self, client: S3Client | SQSClient) -> None:
        """Learn from the answers to a client's requests whether the credentials are good."""
        service = client.meta.service_model.service_id.hyphenize()

        def answered(parsed: Any, model: Any, **_: Any) -> None:
            if "Error" not in parsed:
                self._failing.pop(service, None)
            else:
                failed(ClientError(parsed, model.name))

        def failed(exception: BaseException, **_: Any) -> None:
            # An answer that only denies says nothing: a HEAD's has no body that would tell a key that is unknown.
            if isinstance(exception, ClientError | BotoCoreError) and kind_of(exception) is Kind.CREDENTIALS:
                self._failing.setdefault(service, self._now())

        client.meta.events.register(f"after-call.{service}", answered)
        client.meta.events.register(f"after-call-error.{service}", failed)

    async def _look_again(self) -> None:
        async with self._looking:
            if not self._failing or not self._is_due():
                return
            try:
                found = await self._find()
                keys = None if found is None else await self._frozen(found)
            except _FAILURES as error:
                log.warning("credentials.not_found", method=self.method, error=text_of(error))
            else:
                self._take(found, keys)
            self._looked_at = self._now()

    def _is_due(self) -> bool:
        return self._now() >= max(min(self._failing.values()), self._looked_at) + AFTER_S

    def _take(self, found: Any, keys: ReadOnlyCredentials | None) -> None:
        if keys is None:
            log.warning("credentials.not_found", method=self.method, error="there are none")
            return
        changed = keys.access_key != self._key
        self._found = found
        if changed:
            log.info("credentials.renewed", method=self.method)
        else:
            log.warning("credentials.unchanged", method=self.method, fix="renew them; no restart is needed")

    async def _frozen(self, found: Any) -> ReadOnlyCredentials:
        try:
            keys: ReadOnlyCredentials = await found.get_frozen_credentials()
        except CredentialRetrievalError:
            raise
        except _FAILURES as error:  # such as a refusal of STS, which is none of S3 or SQS
            raise CredentialRetrievalError(provider=str(found.method), error_msg=text_of(error)) from error
        return keys


class CredentialFinder:
    """A session's component ``credential_provider``."""

    def __init__(self, session: AioSession) -> None:
        self._session = session

    async def load_credentials(self) -> Credentials | None:
        """Return the credentials that environment, files and servers give; None when there are none."""
        found = await self._find()
        return None if found is None else Credentials(found, self._find)

    async def _find(self) -> Any:
        session = AioSession()  # another one, since a session reads each file once
        session.register_component("data_loader", self._session.get_component("data_loader"))
        return await session.get_credentials()
