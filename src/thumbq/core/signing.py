"""Signatures that let a client store one original: thumbq's own counterpart of an S3 POST policy.

The field ``policy`` is Base64 of a JSON object with all that is signed, the time of expiry included, and ``signature``
the HMAC-SHA256 of that field. The other fields are S3's and must equal the policy, so that a client posts the same
form to either.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from thumbq.core.job import ObjectRef
from thumbq.errors import UploadRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

_METADATA: Final = "x-amz-meta-"
_POLICY: Final = "policy"
_SIGNATURE: Final = "signature"


@dataclass(frozen=True, slots=True)
class UploadPolicy:
    """What a presigned upload may store: one object, of this media type, with 1 to ``max_bytes`` bytes.

    ``metadata`` is the object's, ASCII with names in lower case.
    """

    ref: ObjectRef
    content_type: str
    max_bytes: int
    metadata: Mapping[str, str]

    def object_fields(self) -> dict[str, str]:
        """Return the form fields that set the object's media type and metadata, as S3 names them."""
        return {"Content-Type": self.content_type} | {_METADATA + name: text for name, text in self.metadata.items()}


def sign(policy: UploadPolicy, *, expires_at: float, secret: bytes) -> dict[str, str]:
    """Return the fields of a form that ``verify`` accepts until ``expires_at`` (POSIX seconds)."""
    document = {
        "bucket": policy.ref.bucket,
        "key": policy.ref.key,
        "content_type": policy.content_type,
        "max_bytes": policy.max_bytes,
        "metadata": dict(policy.metadata),
        "expires_at": expires_at,
    }
    text = base64.b64encode(json.dumps(document).encode()).decode()
    return {**_signed_fields(policy), _POLICY: text, _SIGNATURE: _signature(text, secret)}


def verify(fields: Mapping[str, str], *, secret: bytes, now: float) -> UploadPolicy:
    """Return the policy that was signed. Field names may be in any case; those with ``x-ignore-`` in front are ignored.

    Raises UploadRefused with the code ``form-incomplete``, ``form-not-signed`` (another secret, or changed since) or
    ``form-expired``.
    """
    given = {name.lower(): value for name, value in fields.items()}
    for name in (_POLICY, _SIGNATURE):
        if name not in given:
            raise _incomplete(name)
    text = given.pop(_POLICY)
    # As bytes: compare_digest takes no text that is not ASCII.
    if not hmac.compare_digest(_signature(text, secret).encode(), given.pop(_SIGNATURE).encode(errors="replace")):
        raise _not_signed("the signature does not belong to the policy")
    signed: dict[str, Any] = json.loads(base64.b64decode(text))
    if now >= signed["expires_at"]:
        raise UploadRefused("form-expired", "The form has expired: ask for a new one.")
    ref = ObjectRef(signed["bucket"], signed["key"])
    policy = UploadPolicy(ref, signed["content_type"], signed["max_bytes"], signed["metadata"])
    _check_same(given, {name.lower(): value for name, value in _signed_fields(policy).items()})
    return policy


def _signed_fields(policy: UploadPolicy) -> dict[str, str]:
    return {"key": policy.ref.key, **policy.object_fields()}


def _check_same(given: Mapping[str, str], signed: Mapping[str, str]) -> None:
    for name, value in signed.items():
        if name not in given:
            raise _incomplete(name)
        if given[name] != value:
            raise _not_signed(f'the field "{name}" is not what was signed')
    for name in given:
        if name not in signed and not name.startswith("x-ignore-"):
            raise _not_signed(f'the field "{name}" was not signed')


def _signature(text: str, secret: bytes) -> str:
    return hmac.new(secret, text.encode(errors="replace"), hashlib.sha256).hexdigest()


def _incomplete(name: str) -> UploadRefused:
    text = f'The form has no field "{name}": post all the fields that came with it, before the file.'
    return UploadRefused("form-incomplete", text)


def _not_signed(what: str) -> UploadRefused:
    return UploadRefused("form-not-signed", f"The form is not one of thumbq: {what}. Post its fields as they came.")
