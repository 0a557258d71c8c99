"""What upstream's SageMaker refuses, in words for the operator of this stage."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from promotion.errors import InvalidRequestError, PromotionRefusedError
from promotion.source import reader
from promotion.source.reader import Upstream
from promotion.source.request import Promote
from tests.support.s3_faults import client_error, not_found

ACCOUNT, ROLE = "111111111111", "arn:aws:iam::111111111111:role/model-promotion/reader-qa"
PACKAGE = f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:model-package/reviews/3"


class SageMaker:
    def __init__(self, answer: dict[str, Any] | ClientError) -> None:
        self.answer = answer

    def describe(self, **_: str) -> dict[str, Any]:
        if isinstance(self.answer, ClientError):
            raise self.answer
        return self.answer

    describe_model = describe_model_package = describe


def read(error: ClientError) -> None:
    reader.read(Upstream(SageMaker(error), ACCOUNT, "eu-west-1", ROLE), Promote("model", "reviews-1"), lambda _: {})


def test_a_source_that_does_not_exist_is_an_invalid_request() -> None:
    with pytest.raises(InvalidRequestError, match=f"There is no model reviews-1 in account {ACCOUNT}"):
        read(not_found("model", "reviews-1"))


def test_a_source_that_may_not_be_read_names_the_role_and_the_stack_that_grants_it() -> None:
    with pytest.raises(PromotionRefusedError) as error:
        read(client_error("AccessDeniedException", "not authorized"))

    assert f"The model reviews-1 may not be read as {ROLE}: AccessDeniedException: not authorized" in str(error.value)
    assert f"Deploy upstream.yaml in account {ACCOUNT}" in str(error.value)


def test_any_other_error_is_raised_as_it_is() -> None:
    with pytest.raises(ClientError, match="ThrottlingException"):
        read(client_error("ThrottlingException"))


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"ModelPackageArn": PACKAGE, "ModelApprovalStatus": "Approved"}, None),
        ({"ModelPackageArn": PACKAGE}, None),
        (
            {"ModelPackageArn": PACKAGE, "ModelApprovalStatus": "Rejected"},
            f"The model package {PACKAGE} is Rejected; approve it in its account first.",
        ),
        (
            client_error("ValidationException", f"ModelPackage {PACKAGE} does not exist."),
            f"The model package {PACKAGE} was deleted meanwhile.",
        ),
    ],
)
def test_a_package_is_withdrawn_when_it_is_deleted_or_no_longer_approved(answer: Any, why: str | None) -> None:
    assert reader.why_withdrawn(SageMaker(answer), PACKAGE) == why
