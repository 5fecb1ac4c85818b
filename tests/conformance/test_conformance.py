from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from conformance.claims import judge
from conformance.subjects import all_claims

if TYPE_CHECKING:
    from conformance.claims import Claim
    from conformance.programs import Thumbq


@pytest.mark.parametrize("claim", all_claims(), ids=lambda claim: claim.name)
def test_claim(claim: Claim, thumbq: Thumbq) -> None:
    verdict = judge(claim, thumbq)
    if not verdict.held:
        pytest.fail(f"{claim.rule}: {verdict.why}", pytrace=False)
    assert verdict.leaks == ()
