"""Presigned uploads on a directory: any of its processes takes what was signed, and nothing else, until it expires."""

from __future__ import annotations

import asyncio
import stat
from typing import TYPE_CHECKING

import pytest

from support.backends import open_local
from support.doubles.clocks import SetClock, SystemClock
from thumbq.core.job import ObjectRef
from thumbq.core.signing import UploadPolicy, sign, verify
from thumbq.errors import SetupError, UploadRefused
from thumbq.local import signingsecret

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from thumbq.ports import Backend, PresignedPost

POLICY = UploadPolicy(
    ObjectRef("local", "inbox/猫 +%.png"), "image/png", 1000, {"presets": "a,b", "callback": "http://x/?a=1"}
)
SECRET = b"s" * 32


def signed() -> dict[str, str]:
    return sign(POLICY, expires_at=1000.0, secret=SECRET)


def code(fields: Mapping[str, str], *, secret: bytes = SECRET, now: float = 0.0) -> str:
    """Return the code with which a form is refused; the text names what to do about it."""
    with pytest.raises(UploadRefused) as refusal:
        verify(fields, secret=secret, now=now)
    assert refusal.value.text.endswith(".")
    return refusal.value.code


def test_a_form_gives_back_what_was_signed() -> None:
    assert verify(signed(), secret=SECRET, now=999.9) == POLICY


def test_a_form_has_the_fields_of_s3() -> None:
    assert {"key", "Content-Type", "x-amz-meta-presets", "x-amz-meta-callback", "policy"} < signed().keys()
    assert signed()["key"] == POLICY.ref.key


def test_names_of_fields_may_be_in_any_case_and_ignored_fields_do_not_count() -> None:
    fields = {name.upper(): value for name, value in signed().items()}
    assert verify({**fields, "x-ignore-button": "Send"}, secret=SECRET, now=0) == POLICY


@pytest.mark.parametrize("name", sorted(signed()))
def test_a_field_that_was_changed_is_refused(name: str) -> None:
    value = signed()[name]
    for changed in ("", value + "x", value[:-1], value[:-2] + "é" + value[-1], value.swapcase()):
        assert code({**signed(), name: changed}) == "form-not-signed"


@pytest.mark.parametrize("name", sorted(signed()))
def test_a_field_that_is_missing_is_named(name: str) -> None:
    fields = signed()
    del fields[name]
    with pytest.raises(UploadRefused, match=f'(?i)no field "{name}"') as refusal:
        verify(fields, secret=SECRET, now=0)
    assert refusal.value.code == "form-incomplete"


def test_no_field_can_be_added() -> None:
    assert code({**signed(), "x-amz-meta-more": "1"}) == "form-not-signed"


def test_no_character_of_the_policy_can_be_changed() -> None:
    policy = signed()["policy"]
    for position, character in enumerate(policy):
        other = "B" if character == "A" else "A"
        changed = policy[:position] + other + policy[position + 1 :]
        assert code({**signed(), "policy": changed}) == "form-not-signed"


def test_another_secret_signs_nothing_here() -> None:
    assert code(signed(), secret=b"t" * 32) == "form-not-signed"


def test_a_form_is_refused_from_the_moment_it_expires() -> None:
    assert code(signed(), now=1000.0) == "form-expired"


async def presigned(backend: Backend, *, expires_s: int = 60) -> PresignedPost:
    return await backend.presigned_uploads.presign(POLICY, expires_s=expires_s)


def taken(backend: Backend, post: PresignedPost) -> UploadPolicy:
    assert backend.presigned_verifier is not None
    return backend.presigned_verifier.verify(post.fields)


async def test_a_form_goes_to_the_service_s_own_inbox(backend: Backend) -> None:
    assert (await presigned(backend)).url == "/inbox"


async def test_a_form_of_one_process_is_taken_by_another_also_after_a_restart(directory: Path) -> None:
    async with open_local(directory, clock=SystemClock()) as one, open_local(directory, clock=SystemClock()) as other:
        post = await presigned(one)
        assert taken(other, post) == POLICY
    async with open_local(directory, clock=SystemClock()) as later:
        assert taken(later, post) == POLICY


async def test_a_form_of_another_directory_is_not_taken(directory: Path, tmp_path: Path) -> None:
    async with open_local(tmp_path / "theirs", clock=SystemClock()) as theirs:
        post = await presigned(theirs)
    async with open_local(directory, clock=SystemClock()) as ours:
        with pytest.raises(UploadRefused, match="not one of thumbq"):
            taken(ours, post)


async def test_a_form_is_taken_for_as_long_as_it_was_asked_for(directory: Path) -> None:
    clock = SetClock()
    async with open_local(directory, clock=clock) as backend:
        post = await presigned(backend, expires_s=60)
        clock.now += 59.9
        assert taken(backend, post) == POLICY
        clock.now += 0.1
        with pytest.raises(UploadRefused, match="expired"):
            taken(backend, post)


async def test_many_that_open_a_new_directory_at_once_share_one_secret(directory: Path) -> None:
    posts: list[PresignedPost] = []
    everybody = asyncio.Barrier(8)

    async def use() -> None:
        async with open_local(directory, clock=SystemClock()) as backend:
            posts.append(await presigned(backend))
            await everybody.wait()
            assert [taken(backend, post) for post in posts] == [POLICY] * 8

    await asyncio.gather(*(use() for _ in range(8)))


async def test_the_secret_is_readable_by_its_user_only(directory: Path) -> None:
    async with open_local(directory, clock=SystemClock()):
        mode = (directory / signingsecret.FILE_NAME).stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"short"])
async def test_a_damaged_secret_is_refused_and_left_as_it_is(directory: Path, content: bytes) -> None:
    async with open_local(directory, clock=SystemClock()):
        pass
    (directory / signingsecret.FILE_NAME).write_bytes(content)
    with pytest.raises(SetupError, match=r"(?s)form-secret is damaged.*remove it"):
        async with open_local(directory, clock=SystemClock()):
            pass
    assert (directory / signingsecret.FILE_NAME).read_bytes() == content


async def test_a_secret_that_cannot_be_read_is_refused(directory: Path) -> None:
    (directory / signingsecret.FILE_NAME).mkdir(parents=True)
    with pytest.raises(SetupError, match="form-secret cannot be read"):
        async with open_local(directory, clock=SystemClock()):
            pass
