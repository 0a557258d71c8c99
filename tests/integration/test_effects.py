"""What each role of a stage could make it serve: every effect is explained."""

import pytest

from tests.permissions import effects
from tests.support.world import Stage


@pytest.mark.usefixtures("application")
def test_every_effect_of_every_role_is_explained(production: Stage) -> None:
    found = effects.possible(production, effects.roles_of(production))

    assert list(effects.findings(found)) == []


@pytest.mark.usefixtures("application")
def test_an_effect_that_nobody_explained_is_found(production: Stage) -> None:
    found = effects.possible(production, {})
    found["overwrite an artifact"] = {"CopyArtifactsFunctionRole"}

    reported = list(effects.findings(found))

    assert "CopyArtifactsFunctionRole can overwrite an artifact, which is not explained." in reported
    assert "Approver cannot approve, but this is explained." in reported
