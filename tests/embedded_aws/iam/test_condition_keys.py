"""The condition keys of services that restrict an action to a part of its resource."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws.aws import EmbeddedAws
from embedded_aws.iam import clients, decisions
from embedded_aws.iam.permissions import Need
from embedded_aws.kernel import accounts
from tests.embedded_aws.support.customers import QA, as_role, client, make_role

Restrict = Callable[[str], None]


def denied(call: Callable[..., Any], **request: Any) -> bool:
    """Return whether IAM denies a call. Raise any other error."""
    try:
        call(**request)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("AccessDenied", "AccessDeniedException"):
            raise
        return True
    return False


@pytest.fixture
def table(aws: EmbeddedAws, name: str) -> str:
    client("dynamodb", QA).create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": each, "AttributeType": "S"} for each in ("kind", "key")],
        KeySchema=[{"AttributeName": "kind", "KeyType": "HASH"}, {"AttributeName": "key", "KeyType": "RANGE"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-key",
                "KeySchema": [{"AttributeName": "key", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
    return name


@pytest.fixture
def restricted(table: str, name: str) -> Any:
    """Return a client of a role that has access only to items whose partition key begins with `open`."""
    role_arn = make_role(f"{name}-restricted", QA, "none:none", "lambda.amazonaws.com")
    statement = {
        "Effect": "Allow",
        "Action": "dynamodb:*",
        "Resource": "*",
        "Condition": {
            "ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["open*"]},
            "Null": {"dynamodb:LeadingKeys": "false"},
        },
    }
    client("iam", QA).put_role_policy(
        RoleName=role_arn.rpartition("/")[2],
        PolicyName="policy",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )
    return as_role("dynamodb", role_arn)


def item(kind: str) -> dict[str, Any]:
    return {"kind": {"S": kind}, "key": {"S": "open"}}


def calls(dynamodb: Any, table: str, kind: str) -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    """Return a call of each operation for an item of a kind."""
    place: dict[str, Any] = {"TableName": table}
    update = {"UpdateExpression": "SET a = :a", "ExpressionAttributeValues": {":a": {"S": "a"}}}
    condition = {
        "KeyConditionExpression": "#kind = :kind AND begins_with(#key, :prefix)",
        "ExpressionAttributeNames": {"#kind": "kind", "#key": "key"},
        "ExpressionAttributeValues": {":kind": {"S": kind}, ":prefix": {"S": "o"}},
    }
    legacy = {"KeyConditions": {"kind": {"AttributeValueList": [{"S": kind}], "ComparisonOperator": "EQ"}}}
    open_put = {"Put": {**place, "Item": item("open-first")}}
    writes: dict[str, dict[str, Any]] = {
        "Put": {"Item": item(kind)},
        "Update": {"Key": item(kind), **update},
        "Delete": {"Key": item(kind)},
        "ConditionCheck": {"Key": item(kind), "ConditionExpression": "attribute_not_exists(b)"},
    }
    in_transactions: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
        f"{each} in a transaction": (
            dynamodb.transact_write_items,
            {"TransactItems": [open_put, {each: {**place, **body}}]},
        )
        for each, body in writes.items()
    }
    return in_transactions | {
        "GetItem": (dynamodb.get_item, {**place, "Key": item(kind)}),
        "PutItem": (dynamodb.put_item, {**place, "Item": item(kind)}),
        "UpdateItem": (dynamodb.update_item, {**place, "Key": item(kind), **update}),
        "DeleteItem": (dynamodb.delete_item, {**place, "Key": item(kind)}),
        "Query": (dynamodb.query, {**place, **condition}),
        "Query with KeyConditions": (dynamodb.query, {**place, **legacy}),
        "Get in a transaction": (
            dynamodb.transact_get_items,
            {"TransactItems": [{"Get": {**place, "Key": item(kind)}}]},
        ),
        "BatchGetItem": (
            dynamodb.batch_get_item,
            {"RequestItems": {table: {"Keys": [item("open-first"), item(kind)]}}},
        ),
        "BatchWriteItem": (
            dynamodb.batch_write_item,
            {"RequestItems": {table: [{"PutRequest": {"Item": item(kind)}}, {"DeleteRequest": {"Key": item("open")}}]}},
        ),
    }


def test_a_permission_for_items_can_depend_on_their_partition_key(restricted: Any, table: str) -> None:
    allowed, refused = (calls(restricted, table, kind) for kind in ("open-second", "closed"))

    assert [name for name, (call, request) in allowed.items() if denied(call, **request)] == []
    assert [name for name, (call, request) in refused.items() if not denied(call, **request)] == []
    kinds = client("dynamodb", QA).scan(TableName=table)["Items"]
    assert {each["kind"]["S"] for each in kinds} == {"open-first", "open-second"}


def test_the_partition_key_of_an_index_counts_in_its_queries(restricted: Any, table: str) -> None:
    def query(value: str) -> dict[str, Any]:
        values = {":value": {"S": value}}
        names = {"#key": "key"}
        return {
            "TableName": table,
            "IndexName": "by-key",
            "KeyConditionExpression": "#key = :value",
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": values,
        }

    assert not denied(restricted.query, **query("open"))
    assert denied(restricted.query, **query("closed"))


def test_a_scan_has_no_leading_keys(restricted: Any, table: str) -> None:
    assert denied(restricted.scan, TableName=table)


def test_a_permission_can_require_tls(aws: EmbeddedAws, name: str) -> None:
    queue_arn = f"arn:aws:sqs:{accounts.REGION}:{QA}:{name}"
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    client("sqs", QA).create_queue(QueueName=name, Attributes={"Policy": policy})
    role_arn = make_role(f"{name}-sender", QA, "sqs:SendMessage", "lambda.amazonaws.com")
    caller = clients.Caller(QA, role_arn, role_arn)

    def allows(secure_transport: str) -> bool:
        about = {"aws:securetransport": secure_transport}
        return decisions.decide(caller, Need("sqs:SendMessage", (queue_arn,)), about).allowed

    assert allows("true")
    assert not allows("false")


def test_a_permission_for_an_automation_can_depend_on_its_tags(aws: EmbeddedAws, name: str) -> None:
    ssm = client("ssm", QA)
    wait = {"name": "Wait", "action": "aws:sleep", "inputs": {"Duration": "PT1H"}}
    content = json.dumps({"schemaVersion": "0.3", "mainSteps": [wait]})
    ssm.create_document(Name=name, DocumentType="Automation", DocumentFormat="JSON", Content=content)
    tags = [{"Key": "team", "Value": "blue"}]
    blue = ssm.start_automation_execution(DocumentName=name, Tags=tags)["AutomationExecutionId"]
    other = ssm.start_automation_execution(DocumentName=name)["AutomationExecutionId"]
    role_arn = make_role(f"{name}-blue", QA, "ssm:StartAutomationExecution", "lambda.amazonaws.com")
    of_blue = {"StringEquals": {"aws:ResourceTag/team": "blue"}}
    statement = {"Effect": "Allow", "Action": "ssm:StopAutomationExecution", "Resource": "*", "Condition": of_blue}
    client("iam", QA).put_role_policy(
        RoleName=role_arn.rpartition("/")[2],
        PolicyName="stops",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )
    restricted = as_role("ssm", role_arn)

    assert denied(restricted.stop_automation_execution, AutomationExecutionId=other)
    assert denied(restricted.start_automation_execution, DocumentName=name, Tags=tags)
    assert not denied(restricted.stop_automation_execution, AutomationExecutionId=blue)
    ssm.stop_automation_execution(AutomationExecutionId=other)


def test_a_bucket_policy_can_enforce_conditional_writes(aws: EmbeddedAws, name: str) -> None:
    s3 = client("s3", QA)
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": accounts.REGION})
    s3.put_object(Bucket=name, Key="source", Body=b"source")
    # "Enforce conditional writes on Amazon S3 buckets" (conditional-writes-enforce).
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{name}/once/*",
        "Condition": {"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}},
    }
    s3.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    source = {"Bucket": name, "Key": "source"}

    def upload(**conditions: str) -> dict[str, Any]:
        place = {"Bucket": name, "Key": "once/uploaded"}
        place["UploadId"] = s3.create_multipart_upload(**place)["UploadId"]
        etag = s3.upload_part(**place, PartNumber=1, Body=b"part")["ETag"]
        return {**place, "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": etag}]}, **conditions}

    assert denied(s3.put_object, Bucket=name, Key="once/put", Body=b"")
    assert denied(s3.copy_object, Bucket=name, Key="once/copied", CopySource=source)
    assert denied(s3.complete_multipart_upload, **upload())
    assert not denied(s3.put_object, Bucket=name, Key="once/put", Body=b"", IfNoneMatch="*")
    assert not denied(s3.copy_object, Bucket=name, Key="once/copied", CopySource=source, IfNoneMatch="*")
    assert not denied(s3.complete_multipart_upload, **upload(IfNoneMatch="*"))
    assert not denied(s3.put_object, Bucket=name, Key="elsewhere", Body=b"")
