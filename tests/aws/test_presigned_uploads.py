"""Forms for S3: the policy says all that is fixed, and its signature is version 4's. An emulator may check neither."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import time
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from support.servers.emulators import aws_env
from thumbq.aws.presigned import S3PresignedUploads
from thumbq.aws.session import open_clients
from thumbq.core.job import ObjectRef
from thumbq.core.signing import UploadPolicy

if TYPE_CHECKING:
    from thumbq.ports import PresignedPost

NOWHERE = "http://127.0.0.1:9"


async def presigned(bucket: str = "photos") -> PresignedPost:
    async with open_clients(connections=1, wait_time_s=0) as clients:
        return await S3PresignedUploads(clients.s3).presign(
            UploadPolicy(ObjectRef(bucket, "inbox/x"), "image/png", 1000, {"filename": "cat.png"}), expires_s=60
        )


def signature(form: PresignedPost, secret: str) -> str:
    """Sign a form's policy (Amazon S3 API Reference, "Calculating a signature: POST policy")."""
    key = f"AWS4{secret}".encode()
    _, *scope = form.fields["x-amz-credential"].split("/")
    for part in scope:
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, form.fields["policy"].encode(), hashlib.sha256).hexdigest()


async def test_the_policy_fixes_everything_and_is_signed() -> None:
    before = int(time.time())
    with aws_env(NOWHERE):
        form = await presigned()
    after = time.time()
    policy = json.loads(base64.b64decode(form.fields["policy"]))
    assert form.url == f"{NOWHERE}/photos"
    assert ["content-length-range", 1, 1000] in policy["conditions"]
    fixed = {name: value for each in policy["conditions"] if isinstance(each, dict) for name, value in each.items()}
    unsigned = {"policy", "x-amz-signature"}
    assert fixed == {name: value for name, value in form.fields.items() if name not in unsigned} | {"bucket": "photos"}
    assert (fixed["key"], fixed["Content-Type"], fixed["x-amz-meta-filename"]) == ("inbox/x", "image/png", "cat.png")
    assert before + 60 <= datetime.fromisoformat(policy["expiration"]).timestamp() <= after + 60
    assert form.fields["x-amz-signature"] == signature(form, "testing")


async def test_temporary_credentials_are_named_in_the_policy() -> None:
    with aws_env(NOWHERE):
        os.environ["AWS_SESSION_TOKEN"] = "a-token"
        form = await presigned()
    assert form.fields["x-amz-security-token"] == "a-token"
    assert {"x-amz-security-token": "a-token"} in json.loads(base64.b64decode(form.fields["policy"]))["conditions"]


@pytest.mark.parametrize(
    ("region", "bucket", "url"),
    [
        ("ap-northeast-1", "photos", "https://photos.s3.ap-northeast-1.amazonaws.com/"),
        ("us-east-1", "photos", "https://photos.s3.amazonaws.com/"),
        ("ap-northeast-1", "my.photos", "https://s3.ap-northeast-1.amazonaws.com/my.photos"),
        ("cn-north-1", "photos", "https://photos.s3.cn-north-1.amazonaws.com.cn/"),
    ],
)
async def test_on_aws_the_form_goes_to_the_buckets_own_region(region: str, bucket: str, url: str) -> None:
    with aws_env(NOWHERE):
        del os.environ["AWS_ENDPOINT_URL"]
        os.environ["AWS_DEFAULT_REGION"] = region
        assert (await presigned(bucket)).url == url
