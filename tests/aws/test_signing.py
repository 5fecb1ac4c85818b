"""Signatures are those that botocore makes."""

from __future__ import annotations

import calendar
import hashlib
import time
from urllib.parse import urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from hypothesis import given
from hypothesis import strategies as st

from thumbq.aws.learnedways import quoted
from thumbq.aws.signing import signed

PRINTED = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=12)
KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


@given(
    key=KEYS,
    metadata=st.dictionaries(NAMES, PRINTED, max_size=4),
    content_type=PRINTED,
    method=st.sampled_from(["GET", "HEAD", "PUT", "DELETE"]),
    secret=st.text("abcXYZ/+=", min_size=1, max_size=40),
    token=st.none() | st.text("abc/+=", min_size=1, max_size=40),
    region=st.sampled_from(["us-east-1", "eu-central-1", "us-gov-west-1", "auto"]),
    base=st.sampled_from(["https://b.s3.eu-central-1.amazonaws.com/", "http://localhost:9000/b/", "http://h/x/y/b/"]),
    body=st.binary(max_size=50),
)
def test_a_request_has_the_signature_that_botocore_gives_it(
    *,
    key: str,
    metadata: dict[str, str],
    content_type: str,
    method: str,
    secret: str,
    token: str | None,
    region: str,
    base: str,
    body: bytes,
) -> None:
    url = base + quoted(key)
    headers = {
        "Content-Type": content_type,
        "If-None-Match": "*",
        **{f"x-amz-meta-{name}": value for name, value in metadata.items()},
    }
    credentials = ReadOnlyCredentials("AKID", secret, token)
    theirs = AWSRequest(method=method, url=url, headers=dict(headers), data=body)
    S3SigV4Auth(credentials, "s3", region).add_auth(theirs)

    sent_at = calendar.timegm(time.strptime(theirs.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ"))
    ours = signed(
        {**headers, "Host": urlsplit(url).netloc},
        method=method,
        path=urlsplit(url).path,
        body_hash=hashlib.sha256(body).hexdigest(),
        region=region,
        credentials=credentials,
        now_s=sent_at,
    )
    assert ours["Authorization"] == theirs.headers["Authorization"]
    assert {**theirs.headers, "Host": urlsplit(url).netloc} == ours
