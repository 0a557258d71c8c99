"""The identity of a candidate's content."""

from typing import Any

from promotion.copying.digest import digest_of
from promotion.copying.references import references
from promotion.plan.content import Content
from promotion.source.candidate import Candidate
from tests.support.artifacts import pinned
from tests.support.containers import container

CODE = "s3://artifacts/reviews-1/source/sourcedir.tar.gz"


def content(environment: dict[str, str], checksum: str = "c1") -> Content:
    containers = [container(Environment=environment)]
    candidate = Candidate("reviews", {"kind": "model", "name": "m", "arn": "a"}, "2026-01-01T00:00:00Z", containers)
    found = references(containers)
    objects = {each.path: [pinned(checksum=checksum if "Environment" in each.path else "c")] for each in found}
    return Content(candidate, found, objects)


def test_the_identity_of_a_model_has_no_content_that_the_settings_replaced() -> None:
    code: dict[str, Any] = {"SAGEMAKER_SUBMIT_DIRECTORY": CODE}
    replaced = [container(Environment={"SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"})]

    identity = content(code).identity(replaced)

    assert identity["Containers"][0]["Environment"] == {"SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}
    assert identity == content(code, "c9").identity(replaced)
    assert digest_of(identity) == digest_of(content(replaced[0]["Environment"]).identity(replaced))


def test_the_identity_of_a_model_has_the_content_of_its_code() -> None:
    code = {"SAGEMAKER_SUBMIT_DIRECTORY": CODE}
    containers = [container(Environment=code)]

    assert content(code).identity(containers) != content(code, "c9").identity(containers)
