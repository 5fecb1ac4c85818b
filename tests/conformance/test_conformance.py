from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from conformance.claims import judge
from conformance.subjects import SUBJECTS, claims_of

if TYPE_CHECKING:
    from types import ModuleType

    from conformance.programs import Thumbq


# A test for each of a thousand claims would take as long as what it makes.
@pytest.mark.parametrize(
    ("subject", "module"),
    [
        pytest.param(subject, module, id=module.__name__.removeprefix("conformance."))
        for subject, modules in SUBJECTS.items()
        for module in modules
    ],
)
def test_every_claim_is_held(subject: str, module: ModuleType, thumbq: Thumbq) -> None:
    verdicts = [judge(claim, thumbq) for claim in claims_of(subject, module)]
    assert verdicts
    broken = [f"{each.claim.name}: {each.claim.rule}: {each.why}" for each in verdicts if not each.held]
    if broken:
        pytest.fail("\n".join(broken), pytrace=False)
    assert {each.claim.name: each.leaks for each in verdicts if each.leaks} == {}
