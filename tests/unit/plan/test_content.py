"""The identity of a candidate's content."""

from typing import Any

import pytest

from promotion.copying.references import references
from promotion.plan import content as content_of
from promotion.plan.content import Content
from promotion.source.candidate import Candidate
from promotion.stage import Stage
from tests.support.artifacts import pinned
from tests.support.containers import container

CODE = "s3://artifacts/reviews-1/source/sourcedir.tar.gz"


def content(environment: dict[str, str], checksum: str = "c1") -> Content:
    containers = [container(Environment=environment)]
    candidate = Candidate("reviews", {"kind": "model", "name": "m", "arn": "a"}, "2026-01-01T00:00:00Z", containers)
    found = references(containers)
    objects = {each.path: [pinned(checksum=checksum if "Environment" in each.path else "c")] for each in found}
    return Content(candidate, found, objects)


@pytest.mark.parametrize(
    "settings",
    [
        {"Model": {"PrimaryContainer": {"Environment": {"OUTPUT_DIR": "/tmp/outputs"}}}},  # noqa: S108
        {"KeptVariables": ["OUTPUT_DIR"]},
    ],
)
def test_a_value_that_the_settings_replace_or_keep_is_not_an_artifact(settings: dict[str, Any]) -> None:
    one = container(ModelDataUrl=None, Environment={"OUTPUT_DIR": "s3://bucket/outputs/"})
    one = {field: value for field, value in one.items() if value}
    candidate = Candidate("reviews", {"kind": "model", "name": "m", "arn": "a"}, "2026-01-01T00:00:00Z", [one])
    stage = Stage("qa", "222222222222", "eu-west-1", "stage", "111111111111")

    found = content_of.pinned(None, candidate, settings, stage, lambda image: image.digest or f"sha256:{0:064}", 1)

    assert found.references == []
    placed, objects = found.placed("models/reviews/1", stage)
    assert placed[0]["Environment"] == {"OUTPUT_DIR": "s3://bucket/outputs/"}
    assert objects == []


def test_the_identity_of_a_model_has_the_content_of_its_code() -> None:
    code = {"SAGEMAKER_SUBMIT_DIRECTORY": CODE}
    containers = [container(Environment=code)]

    assert content(code).identity(containers) != content(code, "c9").identity(containers)
