"""The service is as its OpenAPI document says: schemathesis asks for everything, right and wrong, with each scope.

It checks that no answer is a 5xx, that each is in the document (status, media type, schema), and that what the schema
forbids is refused. That all of what the schema allows is taken is not asked for: no schema knows which queues and
presets there are.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from support.programs import run, script
from thumbq.core.token import RANDOM_BYTES, Scope, Token, digest_of, new_token
from thumbq.web.routes import ROUTES

if TYPE_CHECKING:
    from support.replicas.place import Place

pytestmark = pytest.mark.long

EXAMPLES: Final = 60
"""Of each operation, besides those that cover its schema."""

NOT_CHECKED: Final = "positive_data_acceptance"


@pytest.mark.parametrize("scope", [None, *Scope])
async def test_the_service_is_as_its_document_says(place: Place, tmp_path: Path, scope: Scope | None) -> None:
    texts = {each: new_token(bytes([number] * RANDOM_BYTES)) for number, each in enumerate(Scope)}
    lines = [Token(each, frozenset({each}), digest_of(text)).line() for each, text in texts.items()]
    replica = await place.replica(tokens="\n".join(lines))
    headers = [] if scope is None else ["-H", f"Authorization: Bearer {texts[scope]}"]
    done = run(
        [
            *(script("st"), "run", f"{replica.url}/openapi.json", *headers, "--max-examples", str(EXAMPLES)),
            *("--exclude-checks", NOT_CHECKED, "--continue-on-failure", "--no-color", "--request-timeout", "100"),
            *("--seed", os.environ.get("SCHEMATHESIS_SEED", "1"), "--generation-database", "none"),
        ],
        cwd=tmp_path,
        seconds=120,
        environment={
            "SCHEMATHESIS_HOOKS": "schemathesis_hooks",
            "PYTHONPATH": f"{Path(__file__).parent}:{Path(__file__).parents[1]}",
        },
    )
    assert done.returncode == 0, done.stdout[-20_000:]
    # It has asked for all of the API but the document itself, from which it reads what to ask for.
    tested = re.search(r"Tested: (\d+)", done.stdout)
    assert tested is not None
    assert int(tested[1]) == sum(not route.file_of_page for route in ROUTES) - 1
    assert [line for line in replica.lines() if line["level"] == "error"] == []
    assert not any(text in replica.stderr() for text in texts.values())
