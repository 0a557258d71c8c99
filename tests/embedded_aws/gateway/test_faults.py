import contextlib
import functools
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from embedded_aws.aws import EmbeddedAws
from embedded_aws.gateway import faults
from embedded_aws.gateway.faults import Call, Kind
from embedded_aws.iam import clients
from embedded_aws.kernel import accounts
from tests.embedded_aws.support.lambda_functions import QA, MakeFunction, create_role


@pytest.fixture
def role(aws: EmbeddedAws, name: str) -> str:
    return create_role(f"{name}-caller", QA)


def client(service: str, role: str) -> Any:
    """Return a client that acts as a role and makes no retries."""
    by = clients.ServiceCall("lambda.amazonaws.com", f"arn:aws:lambda:{accounts.REGION}:{QA}:function:x")
    return clients.client_as_role(service, role, "session", by)


@pytest.fixture
def bucket(aws: EmbeddedAws, name: str) -> str:
    clients.client_as_operator("s3", QA).create_bucket(
        Bucket=name, CreateBucketConfiguration={"LocationConstraint": accounts.REGION}
    )
    return name


def keys(bucket: str) -> list[str]:
    found = clients.client_as_operator("s3", QA).list_objects_v2(Bucket=bucket)
    return [each["Key"] for each in found.get("Contents", [])]


def test_calls_are_counted_for_each_role_and_operation(role: str, bucket: str) -> None:
    with faults.watched() as calls:
        for _ in range(2):
            client("s3", role).put_object(Bucket=bucket, Key="k", Body=b"v")
        client("sts", role).get_caller_identity()
        keys(bucket)

    assert calls == [
        Call(role, "s3", "PutObject", 1),
        Call(role, "s3", "PutObject", 2),
        Call(role, "sts", "GetCallerIdentity", 1),
    ]


@pytest.mark.parametrize(
    ("kind", "code", "status"),
    [(Kind.THROTTLED, "SlowDown", 503), (Kind.FAILED, "InternalError", 500), (Kind.DENIED, "AccessDenied", 403)],
)
def test_a_permanent_fault_affects_the_call_and_all_later_ones(
    role: str, bucket: str, kind: Kind, code: str, status: int
) -> None:
    s3 = client("s3", role)
    with faults.injected(Call(role, "s3", "PutObject", 2), kind) as injected:
        s3.put_object(Bucket=bucket, Key="1", Body=b"")
        for key in ("2", "3"):
            with pytest.raises(ClientError) as error:
                s3.put_object(Bucket=bucket, Key=key, Body=b"")
            assert error.value.response["Error"]["Code"] == code
            assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    s3.put_object(Bucket=bucket, Key="4", Body=b"")

    assert keys(bucket) == ["1", "4"]
    assert injected.hits == 2


def test_a_fault_can_last_from_one_call_to_another(role: str, bucket: str) -> None:
    s3, sts = client("s3", role), client("sts", role)
    with faults.injected(Call(role, "s3", "PutObject", 2), Kind.DENIED_BRIEFLY) as injected:
        sts.get_caller_identity()
        s3.put_object(Bucket=bucket, Key="1", Body=b"")
        for key in ("2", "3"):
            with pytest.raises(ClientError, match="AccessDenied"):
                s3.put_object(Bucket=bucket, Key=key, Body=b"")
        sts.get_caller_identity()
        s3.put_object(Bucket=bucket, Key="4", Body=b"")

    assert keys(bucket) == ["1", "4"]
    assert injected.hits == 2


def test_a_fault_can_outlast_several_other_calls(role: str, bucket: str) -> None:
    s3, sts = client("s3", role), client("sts", role)
    with faults.injected(Call(role, "s3", "PutObject"), Kind.FAILED_BRIEFLY):
        for key in range(11):
            with contextlib.suppress(ClientError):
                s3.put_object(Bucket=bucket, Key=str(key), Body=b"")
            sts.get_caller_identity()

    assert keys(bucket) == ["10"]


def test_someone_else_acts_once_before_a_call(role: str, bucket: str) -> None:
    s3, before = client("s3", role), list[list[str]]()
    with faults.preceded(Call(role, "s3", "PutObject", 2), lambda: before.append(keys(bucket))) as preceded:
        for key in ("1", "2", "3"):
            s3.put_object(Bucket=bucket, Key=key, Body=b"")

    assert before == [["1"]]
    assert preceded.hits == 1
    assert keys(bucket) == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("service", "operation", "code"),
    [
        ("ssm", "DescribeParameters", "ThrottlingException"),
        ("sts", "GetCallerIdentity", "Throttling"),
        ("sagemaker", "ListEndpoints", "ThrottlingException"),
        ("stepfunctions", "ListStateMachines", "ThrottlingException"),
    ],
)
def test_each_service_has_its_own_throttling_error_which_is_injected_twice(
    role: str, service: str, operation: str, code: str
) -> None:
    throttled = client(service, role)
    call_operation = getattr(
        throttled, {value: key for key, value in throttled.meta.method_to_api_mapping.items()}[operation]
    )
    with faults.injected(Call(role, throttled.meta.service_model.signing_name, operation), Kind.THROTTLED_TWICE):
        for _ in range(2):
            with pytest.raises(ClientError) as error:
                call_operation()
            assert error.value.response["Error"]["Code"] == code
        call_operation()


@pytest.mark.parametrize(("kind", "expected_keys"), [(Kind.LOST_UNDONE, []), (Kind.LOST_DONE, ["k"])])
def test_a_lost_response_hides_whether_the_request_was_done(
    role: str, bucket: str, kind: Kind, expected_keys: list[str]
) -> None:
    with faults.injected(Call(role, "s3", "PutObject"), kind), pytest.raises(ConnectionClosedError):
        client("s3", role).put_object(Bucket=bucket, Key="k", Body=b"v")

    assert keys(bucket) == expected_keys
    client("s3", role).put_object(Bucket=bucket, Key="k", Body=b"v")


@pytest.mark.parametrize(("kind", "expected_keys"), [(Kind.KILLED_BEFORE, []), (Kind.KILLED_AFTER, ["k"])])
def test_a_function_is_killed_at_a_call(
    function: MakeFunction, bucket: str, name: str, kind: Kind, expected_keys: list[str]
) -> None:
    source = """
        import boto3
        def handler(event, context):
            boto3.client("s3").put_object(Bucket=event, Key="k", Body=b"v")
            return "done"
    """
    putting = function(source)
    call = Call(f"arn:aws:iam::{QA}:role/{name}", "s3", "PutObject")
    with faults.injected(call, kind):
        assert putting.error(bucket)["errorType"] == "Runtime.ExitError"

    assert keys(bucket) == expected_keys
    assert putting.result(bucket) == "done"


@pytest.fixture
def table(aws: EmbeddedAws, name: str) -> str:
    clients.client_as_operator("dynamodb", QA).create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "key", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return name


@pytest.mark.parametrize("operation", ["PutItem", "UpdateItem", "DeleteItem"])
def test_a_write_conflicts_with_a_transaction_once(role: str, table: str, operation: str) -> None:
    dynamodb, key = client("dynamodb", role), {"key": {"S": "k"}}
    update = {"UpdateExpression": "SET one = :one", "ExpressionAttributeValues": {":one": {"N": "1"}}}
    write = {
        "PutItem": lambda: dynamodb.put_item(TableName=table, Item=key | {"one": {"N": "1"}}),
        "UpdateItem": lambda: dynamodb.update_item(TableName=table, Key=key, **update),
        "DeleteItem": lambda: dynamodb.delete_item(TableName=table, Key=key),
    }[operation]
    dynamodb.put_item(TableName=table, Item=key)

    with faults.injected(Call(role, "dynamodb", operation), Kind.CONFLICT_ONCE):
        with pytest.raises(dynamodb.exceptions.TransactionConflictException, match="Transaction is ongoing for the"):
            write()
        assert dynamodb.scan(TableName=table)["Items"] == [key]
        write()

    assert dynamodb.scan(TableName=table)["Items"] != [key]


def test_a_transaction_is_cancelled_by_a_conflict_once(role: str, table: str) -> None:
    dynamodb = client("dynamodb", role)
    keys = [{"key": {"S": name}} for name in ("1", "2")]
    puts = [{"Put": {"TableName": table, "Item": key}} for key in keys]
    gets = [{"Get": {"TableName": table, "Key": key}} for key in keys]
    for operation, transact in (
        ("TransactWriteItems", functools.partial(dynamodb.transact_write_items, TransactItems=puts)),
        ("TransactGetItems", functools.partial(dynamodb.transact_get_items, TransactItems=gets)),
    ):
        with faults.injected(Call(role, "dynamodb", operation), Kind.CONFLICT_ONCE):
            with pytest.raises(dynamodb.exceptions.TransactionCanceledException) as error:
                transact()
            assert error.value.response["CancellationReasons"] == [
                {"Code": "TransactionConflict", "Message": "Transaction is ongoing for the item"},
                {"Code": "None"},
            ]
            transact()

    assert len(dynamodb.scan(TableName=table)["Items"]) == 2


def test_a_conflict_is_refused_for_an_operation_without_conflicts(role: str) -> None:
    call = Call(role, "dynamodb", "GetItem")
    with pytest.raises(ValueError, match="GetItem"), faults.injected(call, Kind.CONFLICT_ONCE):
        pass


def test_operators_are_not_affected_by_faults(aws: EmbeddedAws, bucket: str) -> None:
    call = Call(f"arn:aws:iam::{QA}:user/{clients.OPERATOR}", "s3", "ListObjectsV2")
    with faults.injected(call, Kind.DENIED) as injected:
        assert keys(bucket) == []

    assert injected.hits == 0
