# ruff: noqa: T201 -- what it prints is what it is for
"""One rendition with Thumbor: its server, asked once by a URL. Without arguments: the versions."""

import asyncio
import logging
import sys
from pathlib import Path

import PIL
import thumbor
from thumbor.config import Config
from thumbor.console import get_server_parameters
from thumbor.context import Context
from thumbor.server import get_application, get_importer
from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port

if not sys.argv[1:]:
    print(f"{thumbor.__version__}, Pillow {PIL.__version__}")
    sys.exit()
said = dict(word.split("=", 1) for word in sys.argv[1:])
source, target = Path(said["input"]), Path(said["output"])
words = ["unsafe"]
if said["fit"] == "contain":
    words.append("fit-in")
if said["fit"] != "none":
    words.append(f"{said['width'] or 0}x{said['height'] or 0}")
if said["fit"] == "cover":
    across = {"west": "left", "east": "right"}
    words.append(next((word for side, word in across.items() if side in said["gravity"]), "center"))
    down = {"north": "top", "south": "bottom"}
    words.append(next((word for side, word in down.items() if side in said["gravity"]), "middle"))
filters = [f"format({target.suffix[1:].replace('jpg', 'jpeg')})", f"quality({said['quality']})"]
if said["fit"] == "fill":
    filters.append("stretch()")
if said["enlarge"] and said["fit"] == "contain":
    filters.append("upscale()")
if target.suffix == ".jpg":
    filters.append(f"background_color({said['background'][1:]})")
words += ["filters:" + ":".join(filters), source.name]


async def main() -> int:
    config = Config(
        LOADER="thumbor.loaders.file_loader",
        FILE_LOADER_ROOT_PATH=str(source.parent),
        STORAGE="thumbor.storages.no_storage",
        RESPECT_ORIENTATION=True,
        ALLOW_ANIMATED_GIFS=False,
        PROGRESSIVE_JPEG=bool(said["progressive"]),
    )
    parameters = get_server_parameters(["--port", "0"])
    parameters.security_key = "unused"
    with Context(server=parameters, config=config, importer=get_importer(config)) as context:
        socket, port = bind_unused_port()
        server = HTTPServer(get_application(context))
        server.add_socket(socket)
        answer = await AsyncHTTPClient().fetch(
            f"http://127.0.0.1:{port}/{'/'.join(words)}", raise_error=False, request_timeout=60
        )
    if answer.code != 200:
        print(answer.code, answer.reason, file=sys.stderr)
        return 1
    target.write_bytes(answer.body)  # noqa: ASYNC240 -- nobody waits
    return 0


logging.basicConfig(level=logging.ERROR)
sys.exit(asyncio.run(main()))
