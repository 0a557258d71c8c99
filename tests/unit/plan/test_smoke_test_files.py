import pytest

from promotion.endpoint.smoke_test import validated
from promotion.errors import InvalidRequestError
from promotion.plan import smoke_test_files
from promotion.stage import Stage
from tests.support.sagemaker_requests import CANDIDATE

STAGE = Stage("qa", "222222222222", "eu-west-1", "stage", "111111111111")


def test_a_suite_with_too_many_bodies_in_s3_is_refused_before_they_are_read() -> None:
    case = {"name": "one", "body_uri": "s3://upstream/body", "expect": "`true`"}
    suite = validated({"cases": [case] * 1001}, "a test")

    with pytest.raises(InvalidRequestError) as error:
        smoke_test_files.read(None, CANDIDATE, suite, STAGE)

    assert "1,001 cases with body_uri; the maximum is 1,000" in str(error.value)
