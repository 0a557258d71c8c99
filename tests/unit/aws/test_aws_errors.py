from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.retries.standard import ThrottledRetryableChecker, TransientRetryableChecker

from promotion.aws.aws_errors import Meaning, meaning, message, none_if_not_found
from tests.support.s3_faults import client_error, not_found

# Codes of transient errors, each with its source. AWS's SDKs retry those of the first source themselves (SDKs and Tools
# reference guide, "Retry behavior"), but not those of transactions that conflict.
TRANSIENT = {
    "botocore's standard retry mode": [
        *ThrottledRetryableChecker._THROTTLED_ERROR_CODES,
        *TransientRetryableChecker._TRANSIENT_ERROR_CODES,
    ],
    "DynamoDB developer guide, Error handling with DynamoDB": [
        "InternalServerError",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "ThrottlingException",
        "TransactionInProgressException",
    ],
    "DynamoDB developer guide, Amazon DynamoDB Transactions: How it works": ["TransactionConflictException"],
    "Systems Manager API reference, StartAutomationExecution": ["AutomationExecutionLimitExceededException"],
    "Systems Manager API reference, GetParameter": ["InternalServerError"],
    "CloudWatch API reference, GetMetricStatistics": ["InternalServiceError", "InternalServiceFault"],
    "CloudWatch Logs API reference, CreateLogStream": ["ServiceUnavailableException"],
    "Application Auto Scaling API reference, RegisterScalableTarget": [
        "ConcurrentUpdateException",
        "InternalServiceException",
    ],
    "ECR API reference, BatchGetImage": ["ServerException"],
    "S3 API reference, Error responses": ["InternalError", "RequestTimeout", "ServiceUnavailable", "SlowDown"],
    "SageMaker API reference, Common errors": [
        "InternalFailure",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "ThrottlingException",
    ],
}

ENDPOINT = '"arn:aws:sagemaker:eu-west-1:222222222222:endpoint/reviews-qa"'


@pytest.mark.parametrize(
    ("text", "known"),
    [
        (f"Could not find endpoint {ENDPOINT}.", Meaning.NOT_FOUND),
        ("Could not find endpoint configuration 'c'.", Meaning.NOT_FOUND),
        ("Could not find model 'm'.", Meaning.NOT_FOUND),
        ("Requested resource not found.", Meaning.NOT_FOUND),
        ("Amazon SageMaker can't find a tuning job", Meaning.NOT_FOUND),
        (f"Cannot create already existing endpoint {ENDPOINT}.", Meaning.ALREADY_EXISTS),
        ('Cannot create already existing endpoint configuration "c".', Meaning.ALREADY_EXISTS),
        (f"Cannot update in-progress endpoint {ENDPOINT}.", Meaning.BUSY),
        ("Could not assume role arn:aws:iam::222222222222:role/serving.", Meaning.NOT_YET_VISIBLE),
        ("Could not access model data at s3://b/k.", Meaning.UNKNOWN),
        ("The endpoint could not find its model.", Meaning.UNKNOWN),
        ("1 validation error detected: Value 'x' at 'name' failed: Could not find ", Meaning.UNKNOWN),
        ("", Meaning.UNKNOWN),
    ],
)
def test_a_validation_exception_is_classified_by_its_message_prefix(text: str, known: Meaning) -> None:
    assert meaning(client_error("ValidationException", text)) is known


@pytest.mark.parametrize(
    ("code", "known"),
    [
        ("ConditionalCheckFailedException", Meaning.CHANGED),
        # DescribeTrainingJob, Parameter Store, Automation
        ("ResourceNotFound", Meaning.NOT_FOUND),
        ("ParameterNotFound", Meaning.NOT_FOUND),
        ("AutomationExecutionNotFoundException", Meaning.NOT_FOUND),
        ("ExecutionDoesNotExist", Meaning.NOT_FOUND),
        # S3, whose response to a HEAD contains only the status
        ("NoSuchBucket", Meaning.NOT_FOUND),
        ("NoSuchKey", Meaning.NOT_FOUND),
        ("NoSuchUpload", Meaning.NOT_FOUND),
        ("404", Meaning.NOT_FOUND),
        ("AccessDenied", Meaning.DENIED),
        ("AccessDeniedException", Meaning.DENIED),
        ("403", Meaning.DENIED),
        ("PreconditionFailed", Meaning.CHANGED),
        ("ConditionalRequestConflict", Meaning.CHANGED),
        # ECR
        ("RepositoryNotFoundException", Meaning.NOT_FOUND),
        ("LayersNotFoundException", Meaning.NOT_FOUND),
        ("UploadNotFoundException", Meaning.TRANSIENT),
        # DynamoDB, which also cancels a transaction if a condition fails
        ("TransactionCanceledException", Meaning.UNKNOWN),
        ("ResourceLimitExceeded", Meaning.UNKNOWN),
        ("ValidationError", Meaning.UNKNOWN),
        ("ExpiredToken", Meaning.TRANSIENT),
        ("ExpiredTokens", Meaning.UNKNOWN),
        ("", Meaning.UNKNOWN),
    ],
)
def test_other_errors_are_classified_by_their_exact_code(code: str, known: Meaning) -> None:
    assert meaning(client_error(code, "Could not find it")) is known


@pytest.mark.parametrize(
    "code", [pytest.param(code, id=f"{code}: {source}") for source, codes in TRANSIENT.items() for code in codes]
)
def test_a_transient_error_code_is_transient(code: str) -> None:
    assert meaning(client_error(code)) is Meaning.TRANSIENT


@pytest.mark.parametrize("status", [500, 502, 503, 504, 530])
@pytest.mark.parametrize("code", ["Unheard", "ValidationException", ""])
def test_an_unknown_server_error_is_transient(code: str, status: int) -> None:
    # The response of S3 to a HEAD contains only the status, which is then the code.
    error = client_error(code or str(status), "Something else")
    error.response["ResponseMetadata"] = {"HTTPStatusCode": status}

    assert meaning(error) is Meaning.TRANSIENT


def test_an_unknown_client_error_is_unknown() -> None:
    error = client_error("Unheard")
    error.response["ResponseMetadata"] = {"HTTPStatusCode": 499}

    assert meaning(error) is Meaning.UNKNOWN


def test_the_code_of_a_known_error_overrides_its_status() -> None:
    error = client_error("ResourceNotFound")
    error.response["ResponseMetadata"] = {"HTTPStatusCode": 500}

    assert meaning(error) is Meaning.NOT_FOUND


@pytest.mark.parametrize("code", ["resourcenotfound", "AccessDeniedExceptionX", " 404", "NotFound.AccessDenied"])
def test_a_code_that_resembles_a_known_one_is_unknown(code: str) -> None:
    assert meaning(client_error(code)) is Meaning.UNKNOWN


def test_a_denied_or_throttled_request_is_never_classified_as_not_found() -> None:
    for code in ("AccessDenied", "AccessDeniedException", "403", "ThrottlingException", "SlowDown"):
        assert meaning(client_error(code, 'Could not find endpoint "e".')) is not Meaning.NOT_FOUND


def test_a_message_has_the_code_and_the_message_of_aws() -> None:
    assert message(client_error("SlowDown", "Please reduce your request rate.")) == (
        "SlowDown: Please reduce your request rate."
    )


def test_an_error_without_a_message_is_reported_by_its_code() -> None:
    error = client_error("404")
    del error.response["Error"]["Message"]

    assert message(error) == "404: no message"
    assert meaning(error) is Meaning.NOT_FOUND


def raising(error: Exception) -> Any:
    def operation(**_: object) -> None:
        raise error

    return operation


def test_the_response_of_a_successful_operation_is_returned() -> None:
    assert none_if_not_found(dict, Name="m") == {"Name": "m"}


def test_a_resource_that_does_not_exist_is_none() -> None:
    assert none_if_not_found(raising(not_found("model", "m")), ModelName="m") is None
    assert none_if_not_found(raising(client_error("NoSuchKey")), Key="k") is None


@pytest.mark.parametrize("code", ["AccessDeniedException", "ThrottlingException", "ValidationException", "Unheard"])
def test_any_other_error_is_raised(code: str) -> None:
    with pytest.raises(ClientError, match=code):
        none_if_not_found(raising(client_error(code)))
