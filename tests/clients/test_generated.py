"""Clients that are generated of the OpenAPI document upload a file, wait for its job, and read the thumbnail."""

from __future__ import annotations

import importlib
import io
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from PIL import Image

from support.documents import HTTP, example
from support.pictures.images import photo_jpeg
from support.programs import program, run, script
from thumbq.core.token import RANDOM_BYTES, Scope, Token, digest_of, new_token

if TYPE_CHECKING:
    from support.replicas.place import Place
    from support.replicas.replica import Replica

pytestmark = pytest.mark.long

DOCUMENT: Final = Path(__file__).parents[2] / "deploy" / "openapi.json"
TOKEN: Final = new_token(bytes(RANDOM_BYTES))


async def guarded(place: Place) -> Replica:
    return await place.replica(tokens=Token("client", frozenset({Scope.UPLOAD}), digest_of(TOKEN)).line())


async def test_a_client_by_openapi_python_client(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deploy").mkdir()
    shutil.copy(DOCUMENT, tmp_path / "deploy")
    commands = example(HTTP, "Generated clients", "sh")
    programs = Path(script("openapi-python-client")).parent
    environment = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    done = run(["bash", "-ec", commands], cwd=tmp_path, seconds=60, environment=environment)
    assert done.returncode == 0, done.stdout
    assert "arning" not in done.stdout, done.stdout
    monkeypatch.syspath_prepend(tmp_path / "thumbq-client")

    def of_client(name: str) -> Any:
        return importlib.import_module(f"thumbq_client.{name}")

    models, photo = of_client("models"), photo_jpeg(640, 480)

    def file() -> Any:
        return of_client("types").File(payload=io.BytesIO(photo), file_name="photo.jpg", mime_type="image/jpeg")

    replica = await guarded(place)
    with of_client("client").AuthenticatedClient(base_url=replica.url, token=TOKEN) as client:
        form = models.UploadForm(file=[file(), file()])
        uploaded = of_client("api.uploads.upload").sync(client=client, body=form, prefer="wait=20")
        assert isinstance(uploaded, models.UploadAnswer), uploaded
        job, _ = uploaded.data.jobs
        waited = of_client("api.jobs.get_job").sync(job.id, client=client, prefer="wait=20")
        assert waited.data.status == models.JobStatus.DONE
        made = waited.data.renditions["thumbnail"]
        assert (waited.data.original.filename, made.width, made.height) == ("photo.jpg", 100, 75)
        thumbnail = of_client("api.jobs.get_rendition").sync(job.id, "thumbnail", client=client)
        with Image.open(thumbnail.payload) as opened:
            assert opened.size == (100, 75)
        put = of_client("api.uploads.put_upload").sync("a.jpg", client=client, body=file(), presets="thumbnail")
        assert put.data.jobs[0].original.filename == "a.jpg"
        problem = of_client("api.uploads.put_upload").sync("a.jpg", client=client, body=file(), presets="huge")
        assert isinstance(problem, models.ProblemAnswer)
        assert problem.code == "unknown-preset"
        asked = models.PresignRequest(content_type=models.PresignRequestContentType.IMAGEJPEG)
        presigned = of_client("api.uploads.presign_upload").sync(client=client, body=asked).data
        awaited = of_client("api.jobs.get_job").sync(presigned.id, client=client).data
        assert awaited.status == models.JobStatus.AWAITING_UPLOAD


async def test_a_client_by_openapi_typescript(place: Place, npm: Path, tmp_path: Path) -> None:
    def tool(*command: str) -> str:
        done = run([program("node"), *command], cwd=npm, seconds=60)
        assert done.returncode == 0, done.stdout
        return done.stdout

    modules = npm / "node_modules"
    tool(f"{modules}/openapi-typescript/bin/cli.js", str(DOCUMENT), "--output", "schema.d.ts")
    options = ("--strict", "--module", "nodenext", "--target", "es2022", "--skipLibCheck", "--types", "node")
    tool(f"{modules}/typescript/bin/tsc", *options, "client.ts")
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(photo_jpeg(640, 480))
    replica = await guarded(place)
    # Older versions of Node warn of what they call experimental.
    told = json.loads(tool("client.js", replica.url, TOKEN, str(photo)).splitlines()[-1])
    assert told.pop("bytes") == told.pop("is")
    assert told == {"status": "done", "width": 100, "original": "photo.jpg", "put": 201, "code": "no-job"}
