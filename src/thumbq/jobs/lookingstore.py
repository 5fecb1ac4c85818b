"""A store without conditional puts, used as well as can be: it is looked at before each of them."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING

from thumbq.errors import ObjectExists, ObjectMissing
from thumbq.jobs.wrappedstore import WrappedStore

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from thumbq.core.job import ObjectRef


class LookingStore(WrappedStore):
    """An ObjectStore that asks whether there is an object before it puts one only if absent.

    Of two such puts at the same time both may be done.
    """

    def _request(self) -> AbstractContextManager[None]:
        return nullcontext()

    async def put(
        self,
        ref: ObjectRef,
        body: bytes,
        *,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
        if_absent: bool = False,
    ) -> str:
        """Store an object."""
        if if_absent:
            with suppress(ObjectMissing):
                await self._store.head(ref)
                raise ObjectExists(f"put {ref}: there is an object")
        return await super().put(ref, body, content_type=content_type, metadata=metadata, if_absent=if_absent)
