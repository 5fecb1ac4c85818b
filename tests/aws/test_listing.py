"""Listings of S3 that no emulator gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.doubles.observing import Observed
from support.servers.scripted import s3_error, says
from thumbq.errors import AccessDenied, BackendUnavailable
from thumbq.ports import ListedObject
from thumbq.ports.observing import Called, observed_by

if TYPE_CHECKING:
    from support.servers.scripted import Answer, Script
    from thumbq.aws.store import S3Store

MODIFIED = "<LastModified>2026-01-02T03:04:05.678Z</LastModified>"


def page(*keys: str, token: str = "") -> Answer:
    more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    contents = "".join(f"<Contents><Key>{key}</Key>{MODIFIED}<Size>7</Size></Contents>" for key in keys)
    document = f"<ListBucketResult><EncodingType>url</EncodingType>{more}{contents}</ListBucketResult>"
    return says(200, document.encode())


async def test_a_page_without_keys_is_not_the_end_while_more_follow(script: Script, store: S3Store) -> None:
    script.then(page(token="t1"), page(token="t2"), page("a%2Bb", token="t3"))
    assert await store.list("bucket-of-tests", prefix="a") == [ListedObject("a+b", 7, 1_767_323_045.678)]
    assert len(script.requests) == 3


async def test_an_empty_last_page_is_the_end(script: Script, store: S3Store) -> None:
    script.then(page(token="t1"), page())
    observed = Observed()
    with observed_by([observed]):
        assert await store.list("bucket-of-tests", prefix="a") == []
    assert [each[:3] for each in observed.happened if isinstance(each, Called)] == [("s3", "LIST", 200)] * 2


async def test_a_missing_bucket_is_an_outage_and_not_an_empty_listing(script: Script, store: S3Store) -> None:
    script.then(s3_error(404, "NoSuchBucket"))
    with pytest.raises(BackendUnavailable, match="NoSuchBucket"):
        await store.list("bucket-of-tests", prefix="")


async def test_a_listing_that_is_not_allowed_says_so(script: Script, store: S3Store) -> None:
    script.then(s3_error(403, "AccessDenied"))
    with pytest.raises(AccessDenied):
        await store.list("bucket-of-tests", prefix="")
