"""Retries under an Idempotency-Key: the first answer again, no second job, and nothing that another upload can use."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any, Final, Literal

import aiohttp
import anyio
import pytest

from support.servers.web import JPEG, PNG, form, head, multipart, serve
from thumbq.accesstokens import AccessTokens
from thumbq.core import keys, message
from thumbq.core.job import ObjectRef
from thumbq.core.keyrecord import FileRecord, KeyRecord
from thumbq.core.token import RANDOM_BYTES, Scope, Token, new_token
from thumbq.core.token import digest_of as token_digest
from thumbq.errors import BackendUnavailable, NotSent, UploadRefused
from thumbq.intake import claims
from thumbq.records import write_record
from thumbq.web import idempotency
from thumbq.web.accessrules import AccessRules
from thumbq.web.app import UploadLimits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from support.servers.web import FaultyBackend, Served

KEY: Final = {"Idempotency-Key": "retry-1"}
Answer = tuple[int, dict[str, str], dict[str, Any]]


async def post(served: Served, *files: tuple[str, bytes], headers: dict[str, str] = KEY, **fields: str) -> Answer:
    data = form(*files)
    for name, text in reversed(fields.items()):
        data._fields.insert(0, aiohttp.FormData({name: text})._fields[0])
    data._boundary = f"boundary-{random.random()}"  # type: ignore[attr-defined]
    async with served.http.post("/upload", data=data, headers=headers) as response:
        return response.status, dict(response.headers), await response.json(content_type=None)


async def put(served: Served, body: bytes = JPEG, path: str = "a.jpg", headers: dict[str, str] = KEY) -> Answer:
    async with served.http.put(f"/upload/{path}", data=body, headers=headers) as response:
        return response.status, dict(response.headers), await response.json(content_type=None)


async def presign(served: Served, headers: dict[str, str] = KEY, **members: Any) -> Answer:
    body = json.dumps({"content_type": "image/jpeg", **members})
    async with served.http.post("/uploads", data=body, headers=headers) as response:
        return response.status, dict(response.headers), await response.json(content_type=None)


def ids(answer: Answer) -> list[str]:
    return [job["id"] for job in answer[2]["data"]["jobs"] if "id" in job]


def is_replayed(answer: Answer) -> bool:
    return answer[1].get("Idempotency-Replayed") == "true"


async def originals(served: Served) -> list[str]:
    listed = await served.behind.real.store.list(served.behind.real.bucket, prefix="uploads/")
    return [entry.key.removeprefix("uploads/") for entry in listed]


async def sent(served: Served) -> list[str]:
    """Return the ids of the jobs of all messages, without taking these."""
    received = await served.behind.real.queue.receive(max_messages=10, wait_s=0, visibility_timeout_s=0)
    jobs = [job for each in received for job in message.parse(each.body, default_bucket="local").jobs]
    return [keys.upload_id(job.source.key) or "" for job in jobs]


async def records(served: Served) -> list[KeyRecord | None]:
    backend = served.behind.real
    listed = await backend.store.list(backend.bucket, prefix="idempotency/")
    found = [await backend.store.get(ObjectRef(backend.bucket, entry.key), max_bytes=1 << 20) for entry in listed]
    return [KeyRecord.decode(raw) for _, raw in found]


@pytest.fixture
async def other(behind: FaultyBackend) -> AsyncIterator[Served]:
    """Return another replica over the same store and queue."""
    async with serve(behind, UploadLimits()) as served:
        yield served


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        (["abc"], "abc"),
        (['"abc"'], "abc"),
        ([r'"a\"\\c"'], 'a"\\c'),
        ([" 8e03978e-40d5-43dd-bc93-6894a57f9324 "], "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        (['a"b'], 'a"b'),
        (["!" * 255], "!" * 255),
        (['"' + "~" * 255 + '"'], "~" * 255),
        (["!" * 256], None),
        (['"' + "~" * 256 + '"'], None),
        ([""], None),
        (['""'], None),
        (['"'], None),
        (['"abc'], None),
        ([r'"a\bc"'], None),
        (['"abc";a=1'], None),
        (["a b"], None),
        (['"a b"'], None),
        (["a\tb"], None),
        (["schlüssel"], None),
        (["a", "a"], None),
    ],
)
def test_a_key_is_a_quoted_string_or_bare(lines: list[str], key: str | None) -> None:
    if key is not None:
        assert idempotency.parse(lines) == key
        return
    with pytest.raises(UploadRefused) as refused:
        idempotency.parse(lines)
    assert refused.value.code == "invalid-idempotency-key"


async def test_a_wrong_key_is_refused_before_a_body_is_asked_for(served: Served) -> None:
    wrong = {"Idempotency-Key": "a b"}
    for answer in (await post(served, ("a", JPEG), headers=wrong), await put(served, headers=wrong)):
        assert (answer[0], answer[2]["code"]) == (400, "invalid-idempotency-key")
    assert (await presign(served, wrong))[2]["code"] == "invalid-idempotency-key"
    extra = "Expect: 100-continue\r\nIdempotency-Key: a b\r\n"
    raw = await served.exchange(head(5, extra=extra), half_close=True)
    assert raw.startswith(b"HTTP/1.1 400 ")
    assert served.behind.store.calls == []


async def test_a_retry_has_the_first_answer_on_any_replica_and_makes_no_job(served: Served, other: Served) -> None:
    files = ("a.jpg", JPEG), ("b.txt", b"text"), ("c.png", PNG)
    first = await post(served, *files, tenant="t")
    assert (first[0], is_replayed(first), len(ids(first))) == (207, False, 2)
    for replica in (other, served):
        again = await post(replica, *files, tenant="t", headers={"Idempotency-Key": '"retry-1"'})
        assert (again[0], is_replayed(again)) == (207, True)
        assert again[2] == first[2]
    assert sorted(ids(first)) == sorted(await originals(served)) == sorted(await sent(served))


async def test_a_put_and_a_presigned_upload_are_answered_again_too(served: Served, other: Served) -> None:
    first, again = await put(served), await put(other)
    assert (first[0], again[0], first[2], is_replayed(first), is_replayed(again)) == (201, 201, again[2], False, True)
    assert again[1]["Location"] == first[1]["Location"]
    assert await sent(served) == ids(first)
    headers = {"Idempotency-Key": "another"}
    form, form_again = await presign(served, headers), await presign(other, headers)
    for answer in (form, form_again):
        assert answer[0] == 201
        answer[2]["data"].pop("upload")  # signed by the replica that was asked, for the time that is left
    assert form[2] == form_again[2]
    assert (is_replayed(form), is_replayed(form_again)) == (False, True)


async def test_a_retry_has_the_first_id_also_where_keys_are_spread_otherwise(behind: FaultyBackend) -> None:
    backend, files = behind.real, [FileRecord(fingerprint="of the file")]
    eight, one = (
        claims.Claims(backend.store, backend.bucket, behind.clock, random.Random(prefixes), key_prefixes=prefixes)
        for prefixes in (8, 1)
    )
    first = await eight.claim("digest", files)
    await eight.end("digest", first.model_copy(update={"state": "open"}))
    again = await one.claim("digest", files)
    assert (again.generation, again.files) == (2, first.files)
    assert first.files[0].id == again.id_of(0, "of the file")
    assert keys.upload_key(first.files[0].id or "").startswith("uploads/-")


async def test_a_presigned_upload_that_has_ended_is_signed_again_under_its_id(served: Served) -> None:
    first = await presign(served)
    served.behind.clock.ahead_s = 3600
    again = await presign(served)
    assert again[2]["data"]["id"] == first[2]["data"]["id"]
    assert again[2]["data"]["expires_at"] > first[2]["data"]["expires_at"]


async def test_a_presigned_upload_that_is_signed_again_has_the_time_that_is_left(served: Served, other: Served) -> None:
    first = await presign(served, filename="a.jpg", metadata={"album": "7"})
    served.behind.clock.ahead_s = 60
    served.behind.store.calls.clear()
    again = await presign(other, filename="a.jpg", metadata={"album": "7"})
    assert is_replayed(again)
    assert served.behind.store.calls == ["put", "get", "get", "get"], "the key's record, the tombstone, the upload's"
    for name in ("id", "expires_at", "metadata", "max_bytes", "renditions"):
        assert again[2]["data"][name] == first[2]["data"][name]
    fields = again[2]["data"]["upload"]["fields"]
    assert fields["x-amz-meta-filename"] == "a.jpg"
    data = aiohttp.FormData(fields)
    data.add_field("file", JPEG, filename="a.jpg")
    async with served.http.post("/inbox", data=data) as response:
        assert response.status == 204


@pytest.mark.parametrize("state", ["complete", "open"])
async def test_of_a_presigned_upload_that_was_deleted_the_key_says_nothing_and_a_retry_is_told_so(
    served: Served, other: Served, state: Literal["complete", "open"]
) -> None:
    said: dict[str, Any] = {
        "filename": "passport.jpg",
        "metadata": {"name": "eve"},
        "callback_url": "https://example.com/secret",
    }
    [job_id] = [(await presign(served, **said))[2]["data"]["id"]]
    [record] = await records(served)
    assert record is not None
    if state == "open":  # as after a try that died behind its presigned upload
        [entry] = await served.behind.real.store.list(served.behind.real.bucket, prefix="idempotency/")
        ref, opened = ObjectRef(served.behind.real.bucket, entry.key), record.model_copy(update={"state": "open"})
        await write_record(served.behind.real.store, ref, opened)
    async with other.http.delete(f"/jobs/{job_id}") as response:
        assert response.status == 204
    everything = [
        entry.key.encode() + (await served.behind.real.store.get(ObjectRef(bucket, entry.key), max_bytes=1 << 20))[1]
        for bucket in [served.behind.real.bucket]
        for entry in await served.behind.real.store.list(bucket, prefix="")
    ]
    assert not [text for text in everything for word in (b"passport", b"eve", b"secret") if word in text]
    for _ in range(2):
        answer = await presign(other, **said)
        assert (answer[0], answer[2]["code"]) == (410, "deleted")
    assert await served.behind.real.store.list(served.behind.real.bucket, prefix="presigned/") == []


OTHERS: Final[dict[str, Callable[[Served], Any]]] = {
    "other bytes": lambda served: post(served, ("a.jpg", JPEG + b"x"), ("b.png", PNG)),
    "other bytes behind": lambda served: post(served, ("a.jpg", JPEG), ("b.png", PNG + b"x")),
    "another name": lambda served: post(served, ("a.jpg", JPEG), ("x.png", PNG)),
    "another order": lambda served: post(served, ("b.png", PNG), ("a.jpg", JPEG)),
    "a file less": lambda served: post(served, ("a.jpg", JPEG)),
    "a file more": lambda served: post(served, ("a.jpg", JPEG), ("b.png", PNG), ("c.jpg", JPEG)),
    "a field": lambda served: post(served, ("a.jpg", JPEG), ("b.png", PNG), tenant="t"),
    "no image": lambda served: post(served, ("a.jpg", b"text")),
    "a put": put,
    "a presigned upload": presign,
}


@pytest.mark.parametrize("name", OTHERS)
async def test_another_upload_cannot_have_the_key_and_nothing_of_it_is_stored(served: Served, name: str) -> None:
    first = await post(served, ("a.jpg", JPEG), ("b.png", PNG))
    answer = await OTHERS[name](served)
    assert (answer[0], answer[2]["code"]) == (422, "idempotency-key-reused")
    assert sorted(await originals(served)) == sorted(ids(first))
    assert is_replayed(await post(served, ("a.jpg", JPEG), ("b.png", PNG)))


async def test_one_under_way_is_told_so_and_answered_once_it_has_ended(served: Served, other: Served) -> None:
    gate = served.behind.queue.gates["send"] = anyio.Event()
    first: list[Answer] = []
    async with anyio.create_task_group() as tasks:

        async def begin() -> None:
            first.append(await post(served, ("a.jpg", JPEG)))

        tasks.start_soon(begin)
        await served.behind.queue.until_called("send")
        early = await post(other, ("a.jpg", JPEG))
        assert (early[0], early[2]["code"], early[1]["Retry-After"]) == (409, "upload-under-way", "1")
        gate.set()
    again = await post(other, ("a.jpg", JPEG))
    assert (again[2], is_replayed(again)) == (first[0][2], True)
    assert await sent(served) == ids(again)


async def test_what_was_refused_is_forgotten(served: Served) -> None:
    assert (await post(served, ("a.jpg", b"text")))[0] == 415
    assert (await post(served, ("a.jpg", b"")))[0] == 400
    assert (await post(served, ("a.jpg", JPEG), presets="nonsense"))[0] == 400
    assert (await put(served, path="a.jpg?colour=red"))[0] == 400
    assert (await presign(served, content_type="text/plain"))[0] == 400
    assert (await presign(served, callback_url="https://example.com/" + "x" * 1900))[0] == 400
    assert await records(served) == []
    assert (await post(served, ("a.jpg", JPEG)))[0] == 201


@pytest.mark.parametrize("where", ["put", "send"])
@pytest.mark.parametrize("lost", [False, True])
async def test_what_failed_for_the_store_or_the_queue_is_repeated_under_the_same_ids(
    served: Served, where: str, *, lost: bool
) -> None:
    faults = served.behind.store if where == "put" else served.behind.queue
    answer = await post(served, ("a.txt", b"text"))  # forgotten
    (faults.lost_answers if lost else faults.errors)[where] = (
        BackendUnavailable("away") if where == "put" or lost else NotSent("full")
    )
    answer = await post(served, ("a.jpg", JPEG), ("b.png", PNG))
    assert (answer[0], ids(answer)) == (503, [])
    faults.errors.clear()
    faults.lost_answers.clear()
    served.behind.clock.ahead_s = 61 if where == "put" else 0
    again = await post(served, ("a.jpg", JPEG), ("b.png", PNG))
    assert (again[0], is_replayed(again), len(ids(again))) == (201, False, 2)
    assert sorted(await originals(served)) == sorted(ids(again))
    assert set(await sent(served)) == set(ids(again))
    assert (await post(served, ("a.jpg", JPEG), ("b.png", PNG)))[2] == again[2]


async def test_a_retry_does_not_bring_back_a_job_that_was_deleted_meanwhile(served: Served, other: Served) -> None:
    served.behind.queue.errors["send"] = BackendUnavailable("away")
    assert (await post(served, ("a.jpg", JPEG)))[0] == 503
    served.behind.queue.errors.clear()
    [job_id] = await originals(served)
    async with other.http.delete(f"/jobs/{job_id}") as response:
        assert response.status == 204
    for _ in range(2):
        answer = await post(served, ("a.jpg", JPEG))
        assert (answer[0], ids(answer)) == (201, [job_id])
        assert await originals(served) == []
    async with other.http.get(f"/jobs/{job_id}") as response:
        assert response.status == 410


async def test_a_form_that_was_cut_off_goes_on_where_it_ended(served: Served) -> None:
    files = ('name="file"; filename="a.jpg"', JPEG), ('name="file"; filename="b.png"', PNG)
    whole = multipart(*files)
    extra = "Idempotency-Key: retry-1\r\n"
    cut = await served.exchange(head(len(whole), extra=extra) + whole[:-30], half_close=True)
    assert cut.startswith(b"HTTP/1.1 207 ")
    [stored] = await originals(served)
    again = await post(served, ("a.jpg", JPEG), ("b.png", PNG))
    assert (again[0], is_replayed(again), ids(again)[0]) == (201, False, stored)
    assert sorted(await sent(served)) == sorted(ids(again))


def steps_of(behind: FaultyBackend, monkeypatch: pytest.MonkeyPatch, *, dies_after: int) -> None:
    """Have the replica die after so many requests to store and queue: all later ones fail until it is started anew."""
    left = dies_after

    def count(faults: Any) -> None:
        inner = faults._inner

        class Dying:
            def __getattr__(self, name: str) -> Any:
                method = getattr(inner, name)

                async def call(*args: Any, **kwargs: Any) -> Any:
                    nonlocal left
                    if left == 0:
                        raise BackendUnavailable("the replica is dead")
                    left -= 1
                    return await method(*args, **kwargs)

                return call

        monkeypatch.setattr(faults, "_inner", Dying())

    count(behind.store)
    count(behind.queue)


@pytest.mark.parametrize("step", range(9))
async def test_a_replica_that_dies_between_two_steps_is_followed_a_minute_later(
    served: Served, other: Served, step: int
) -> None:
    files = ("a.jpg", JPEG), ("b.png", PNG)
    with pytest.MonkeyPatch.context() as patch:
        steps_of(served.behind, patch, dies_after=step)
        first = await post(served, *files)
    assert (first[0] == 201) == (step >= 5)
    before = await sent(served)
    served.behind.clock.ahead_s = 61
    again = await post(other, *files)
    assert (again[0], is_replayed(again)) == (201, step >= 6)
    assert sorted(await originals(served)) == sorted(ids(again))
    after = await sent(served)
    assert set(after) == set(ids(again))
    assert all(after.count(job) <= before.count(job) + 1 for job in after)
    assert (await post(served, *files))[2] == again[2]


async def test_a_claim_is_taken_over_by_one_only_and_not_before_a_minute(served: Served, other: Served) -> None:
    with pytest.MonkeyPatch.context() as patch:
        steps_of(served.behind, patch, dies_after=2)  # the record and the original
        assert (await post(served, ("a.jpg", JPEG)))[0] == 503
    served.behind.clock.ahead_s = 59
    assert (await post(other, ("a.jpg", JPEG)))[0] == 409
    served.behind.clock.ahead_s = 61
    answers: list[Answer] = []

    async def retry(number: int) -> None:
        answers.append(await post([served, other][number % 2], ("a.jpg", JPEG)))

    async with anyio.create_task_group() as tasks:
        for number in range(12):
            tasks.start_soon(retry, number)
    assert {answer[0] for answer in answers} <= {201, 409}
    assert len({json.dumps(answer[2]) for answer in answers if answer[0] == 201}) == 1
    assert len(await sent(served)) == len(await originals(served)) == 1


async def test_fifty_equal_requests_at_once_over_two_replicas_are_one_job(served: Served, other: Served) -> None:
    answers: list[Answer] = []

    async def send(number: int) -> None:
        while (answer := await post([served, other][number % 2], ("a.jpg", JPEG)))[0] == 409:
            await anyio.lowlevel.checkpoint()
        answers.append(answer)

    async with anyio.create_task_group() as tasks:
        for number in range(50):
            tasks.start_soon(send, number)
    assert len(answers) == 50
    assert {(answer[0], json.dumps(answer[2])) for answer in answers} == {(201, json.dumps(answers[0][2]))}
    assert [is_replayed(answer) for answer in answers].count(False) == 1
    assert await sent(served) == await originals(served) == ids(answers[0])


async def test_a_key_counts_for_24_hours(served: Served) -> None:
    first = await post(served, ("a.jpg", JPEG))
    served.behind.clock.ahead_s = claims.COUNTS_S - 10
    assert is_replayed(await post(served, ("a.jpg", JPEG)))
    served.behind.clock.ahead_s = claims.COUNTS_S + 10
    other = await post(served, ("b.png", PNG))
    assert (other[0], is_replayed(other)) == (201, False)
    assert is_replayed(await post(served, ("b.png", PNG)))
    assert await originals(served) == ids(other) + ids(first)  # the newest first


async def test_an_upload_without_a_key_costs_two_requests_and_one_with_a_key_two_more(served: Served) -> None:
    await post(served, ("a.jpg", JPEG), headers={})
    assert (served.behind.store.calls, served.behind.queue.calls) == (["put"], ["send"])
    served.behind.store.calls.clear()
    await post(served, ("a.jpg", JPEG))
    assert served.behind.store.calls == ["put", "put", "put"]
    served.behind.store.calls.clear()
    await post(served, ("a.jpg", JPEG))
    assert served.behind.store.calls == ["put", "get"]
    served.behind.store.calls.clear()
    await presign(served, headers={})
    assert served.behind.store.calls == ["put"]


async def test_the_record_has_the_ids_before_anything_is_stored(served: Served) -> None:
    served.behind.queue.errors["send"] = BackendUnavailable("away")
    assert (await post(served, ("a.jpg", JPEG)))[0] == 503
    [record] = await records(served)
    assert record is not None
    assert [file.id for file in record.files] == await originals(served)


@pytest.mark.parametrize(("seconds", "taken_over"), [(30, False), (61, True)])
async def test_a_slow_form_renews_its_claim_unless_it_was_taken_over(
    served: Served, other: Served, seconds: int, *, taken_over: bool
) -> None:
    whole = multipart(('name="file"; filename="a.jpg"', JPEG), ('name="file"; filename="b.png"', PNG))
    raw = head(len(whole), extra="Idempotency-Key: retry-1\r\n") + whole
    at = raw.index(PNG) + 4
    async with await anyio.connect_tcp(served.host, served.port) as stream:
        for piece in (raw[:300], raw[300 : at - 20], raw[at - 20 : at - 1], raw[at - 1 : at]):
            await stream.send(piece)
            for _ in range(5):  # turns of the one loop that both ends run on
                await anyio.lowlevel.checkpoint()
        await served.behind.queue.until_returned("send")
        served.behind.clock.ahead_s = seconds
        early = await post(other, ("a.jpg", JPEG), ("b.png", PNG))
        assert early[0] == (201 if taken_over else 409)
        await stream.send(raw[at:])
        answer = await stream.receive()
    assert answer.startswith(b"HTTP/1.1 409 " if taken_over else b"HTTP/1.1 201 ")
    again = await post(other, ("a.jpg", JPEG), ("b.png", PNG))
    assert (is_replayed(again), sorted(ids(again))) == (True, sorted(await originals(served)))


async def test_a_key_belongs_to_its_token(behind: FaultyBackend) -> None:
    texts = {name: new_token(name.encode() * RANDOM_BYTES) for name in "ab"}
    tokens = tuple(Token(name, frozenset({Scope.UPLOAD}), token_digest(text)) for name, text in texts.items())
    a, b = ({**KEY, "Authorization": f"Bearer {text}"} for text in texts.values())
    async with serve(behind, UploadLimits(), access=AccessRules(AccessTokens(tokens))) as served:
        first, other = await post(served, ("a.jpg", JPEG), headers=a), await put(served, headers=b)
        assert (first[0], other[0], is_replayed(other)) == (201, 201, False)
        assert (await post(served, ("a.jpg", JPEG), headers=a))[2] == first[2]
        assert (await put(served, headers=b))[2] == other[2]
