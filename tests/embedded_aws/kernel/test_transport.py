"""Clients of this process get the responses that those of other processes get from the server."""

import io
import os
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from embedded_aws.aws import EmbeddedAws
from embedded_aws.iam import clients
from embedded_aws.kernel import accounts

DEV = accounts.ACCOUNTS["dev"]
KEY = "a b/ü+%2F?&=.txt"


@pytest.fixture(params=["in process", "over HTTP"])
def client(request: pytest.FixtureRequest, aws: EmbeddedAws) -> Callable[[str], Any]:
    if request.param == "in process":
        return lambda service: clients.client_as_operator(service, DEV)
    config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
    session = boto3.session.Session(**clients.operator_credentials(DEV), region_name=accounts.REGION)
    return lambda service: session.client(service, endpoint_url=aws.endpoint_url, config=config)


@pytest.mark.parametrize("kind", [bytes, bytearray, io.BytesIO])
def test_any_key_body_and_metadata(client: Callable[[str], Any], name: str, kind: Callable[[bytes], Any]) -> None:
    s3 = client("s3")
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": accounts.REGION})

    s3.put_object(Bucket=name, Key=KEY, Body=kind(b"content"), Metadata={"under_score": "1", "a-dash": "2"})

    found = s3.get_object(Bucket=name, Key=KEY)
    assert found["Body"].read() == b"content"
    assert found["Metadata"] == {"under_score": "1", "a-dash": "2"}
    assert s3.head_object(Bucket=name, Key=KEY)["ContentLength"] == len(b"content")
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=name, Prefix=KEY)["Contents"]] == [KEY]


def test_a_body_is_read_in_pieces_of_any_size(client: Callable[[str], Any], name: str) -> None:
    s3, content = client("s3"), os.urandom(3_000_000)
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": accounts.REGION})
    s3.put_object(Bucket=name, Key="key", Body=content)

    def body() -> Any:
        return s3.get_object(Bucket=name, Key="key")["Body"]

    assert body().read() == content
    assert b"".join(body().iter_chunks(1_000_001)) == content
    assert body().read(2_000_000) == content[:2_000_000]


@pytest.mark.parametrize(
    ("service", "operation", "request_", "code"),
    [
        ("s3", "head_object", {"Bucket": "missing-bucket", "Key": "key"}, "404"),
        ("sagemaker", "describe_model", {"ModelName": "missing"}, "ValidationException"),
        ("iam", "get_role", {"RoleName": "missing"}, "NoSuchEntity"),
        ("dynamodb", "describe_table", {"TableName": "missing"}, "ResourceNotFoundException"),
    ],
)
def test_an_error_in_every_protocol(
    client: Callable[[str], Any], service: str, operation: str, request_: dict[str, Any], code: str
) -> None:
    with pytest.raises(ClientError) as raised:
        getattr(client(service), operation)(**request_)

    assert raised.value.response["Error"]["Code"] == code


def test_the_caller_is_the_owner_of_the_access_key(client: Callable[[str], Any]) -> None:
    assert client("sts").get_caller_identity()["Arn"] == f"arn:aws:iam::{DEV}:user/{clients.OPERATOR}"
