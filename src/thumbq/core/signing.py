"""Forms that let a client store one original: thumbq's own counterpart of an S3 POST policy.

The field ``policy`` is Base64 of a JSON object with all that is fixed, the time of expiry included, and ``signature``
the HMAC-SHA256 of that field. The other fields are S3's and must say what the policy says, so that a client posts the
same form to either.
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
class SignedUpload:
    """What a form is good for: one object, of this media type, with 1 to ``max_bytes`` bytes, and this metadata."""

    ref: ObjectRef
    content_type: str
    max_bytes: int
    metadata: Mapping[str, str]


def sign(form: SignedUpload, *, expires_at: float, secret: bytes) -> dict[str, str]:
    """Return the fields of a form that ``verify`` takes until ``expires_at`` (POSIX seconds)."""
    policy = {
        "bucket": form.ref.bucket,
        "key": form.ref.key,
        "content_type": form.content_type,
        "max_bytes": form.max_bytes,
        "metadata": dict(form.metadata),
        "expires_at": expires_at,
    }
    text = base64.b64encode(json.dumps(policy).encode()).decode()
    return {**_fixed(form), _POLICY: text, _SIGNATURE: _signature(text, secret)}


def verify(fields: Mapping[str, str], *, secret: bytes, now: float) -> SignedUpload:
    """Return what was signed; names of fields may be in any case, and those that start with ``x-ignore-`` do not count.

    Raises UploadRefused with the code ``form-incomplete``, ``form-not-signed`` (another secret, or changed since) or
    ``form-expired``.
    """
    given = {name.lower(): value for name, value in fields.items()}
    for name in (_POLICY, _SIGNATURE):
        if name not in given:
            raise _incomplete(name)
    policy = given.pop(_POLICY)
    # As bytes: compare_digest takes no text that is not ASCII.
    if not hmac.compare_digest(_signature(policy, secret).encode(), given.pop(_SIGNATURE).encode(errors="replace")):
        raise _not_signed("the signature does not belong to the policy")
    signed: dict[str, Any] = json.loads(base64.b64decode(policy))
    if now >= signed["expires_at"]:
        raise UploadRefused(403, "form-expired", "The form has expired: ask for a new one.")
    ref = ObjectRef(signed["bucket"], signed["key"])
    form = SignedUpload(ref, signed["content_type"], signed["max_bytes"], signed["metadata"])
    _check_same(given, {name.lower(): value for name, value in _fixed(form).items()})
    return form


def _fixed(form: SignedUpload) -> dict[str, str]:
    metadata = {_METADATA + name: value for name, value in form.metadata.items()}
    return {"key": form.ref.key, "Content-Type": form.content_type, **metadata}


def _check_same(given: Mapping[str, str], fixed: Mapping[str, str]) -> None:
    for name, value in fixed.items():
        if name not in given:
            raise _incomplete(name)
        if given[name] != value:
            raise _not_signed(f'the field "{name}" is not what was signed')
    for name in given:
        if name not in fixed and not name.startswith("x-ignore-"):
            raise _not_signed(f'the field "{name}" was not signed')


def _signature(policy: str, secret: bytes) -> str:
    return hmac.new(secret, policy.encode(errors="replace"), hashlib.sha256).hexdigest()


def _incomplete(name: str) -> UploadRefused:
    text = f'The form has no field "{name}": post all the fields that came with it, before the file.'
    return UploadRefused(400, "form-incomplete", text)


def _not_signed(what: str) -> UploadRefused:
    return UploadRefused(
        403, "form-not-signed", f"The form is not one of thumbq: {what}. Post its fields as they came."
    )
