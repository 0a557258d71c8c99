"""IAM authorizes every request to the embedded AWS by all policies that apply."""

import json
import logging
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from embedded_aws.aws import EmbeddedAws
from embedded_aws.iam import clients, decisions
from embedded_aws.kernel import accounts
from tests.embedded_aws.support.customers import DEV, PRODUCTION, QA, as_role, client
from tests.embedded_aws.support.sagemaker_account import Account, greeter

Role = Callable[..., str]


def policy(*statements: dict[str, Any]) -> str:
    filled = [{"Effect": "Allow", "Resource": "*", **statement} for statement in statements]
    return json.dumps({"Version": "2012-10-17", "Statement": filled})


@pytest.fixture
def role(aws: EmbeddedAws, name: str) -> Role:
    """Create a role for functions, with a policy of the given statements."""
    role_arns: list[str] = []

    def make(*statements: dict[str, Any], account: str = QA) -> str:
        trust = {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
            ],
        }
        iam_client = client("iam", account)
        role_name = f"{name}-{len(role_arns)}"
        arn = iam_client.create_role(RoleName=role_name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
        if statements:
            iam_client.put_role_policy(RoleName=role_name, PolicyName="own", PolicyDocument=policy(*statements))
        role_arns.append(str(arn))
        return role_arns[-1]

    return make


@pytest.fixture
def bucket(aws: EmbeddedAws, name: str) -> str:
    s3 = client("s3", QA)
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": accounts.REGION})
    s3.put_object(Bucket=name, Key="a/b", Body=b"content")
    return name


def open_bucket(bucket: str, principal: Any, action: str = "s3:GetObject", **statement: Any) -> None:
    body = {
        "Principal": principal,
        "Action": action,
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
        **statement,
    }
    client("s3", QA).put_bucket_policy(Bucket=bucket, Policy=policy(body))


def refusal(call: Callable[..., Any], **request: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**request)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_each_service_has_its_own_access_denied_error(role: Role, bucket: str, name: str) -> None:
    arn = role()
    user = f"User: arn:aws:sts::{QA}:assumed-role/{arn.rpartition('/')[2]}/session is not authorized to perform: "
    endpoint = f"arn:aws:sagemaker:eu-west-1:{QA}:endpoint/{name}"
    queue = client("sqs", QA).create_queue(QueueName=name)["QueueUrl"]
    topic = client("sns", QA).create_topic(Name=name)["TopicArn"]

    assert refusal(as_role("sagemaker", arn).describe_endpoint, EndpointName=name) == (
        "AccessDeniedException",
        f"{user}sagemaker:DescribeEndpoint on resource: {endpoint} because no identity-based policy allows the "
        "sagemaker:DescribeEndpoint action",
    )
    assert refusal(as_role("sagemaker-runtime", arn).invoke_endpoint, EndpointName=name, Body=b"x")[0] == (
        "AccessDeniedException"
    )
    assert refusal(as_role("s3", arn).get_object, Bucket=bucket, Key="a/b") == (
        "AccessDenied",
        f'{user}s3:GetObject on resource: "arn:aws:s3:::{bucket}/a/b" because no identity-based policy allows the '
        "s3:GetObject action",
    )
    assert refusal(as_role("s3", arn).head_object, Bucket=bucket, Key="a/b")[0] == "403"
    assert refusal(as_role("sns", arn).publish, TopicArn=topic, Message="x")[0] == "AuthorizationError"
    assert refusal(as_role("sqs", arn).send_message, QueueUrl=queue, MessageBody="x")[0] == "AccessDenied"
    assert refusal(as_role("iam", arn).list_users)[0] == "AccessDenied"


def test_a_bucket_policy_alone_admits_a_role_of_its_account_by_name(role: Role, bucket: str) -> None:
    arn = role()

    open_bucket(bucket, {"AWS": f"arn:aws:iam::{QA}:root"})
    assert "identity-based" in refusal(as_role("s3", arn).get_object, Bucket=bucket, Key="a/b")[1]

    open_bucket(bucket, {"AWS": arn})
    assert as_role("s3", arn).get_object(Bucket=bucket, Key="a/b")["Body"].read() == b"content"


def test_cross_account_access_to_a_bucket_requires_both_policies(role: Role, bucket: str) -> None:
    without, with_policy = role(account=DEV), role({"Action": "s3:GetObject"}, account=DEV)
    wanted = {"Bucket": bucket, "Key": "a/b"}

    assert "resource-based" in refusal(as_role("s3", with_policy).get_object, **wanted)[1]
    open_bucket(bucket, {"AWS": [without, with_policy]})
    assert "identity-based" in refusal(as_role("s3", without).get_object, **wanted)[1]
    assert as_role("s3", with_policy).get_object(**wanted)["Body"].read() == b"content"
    assert "resource-based" in refusal(client("s3", DEV).get_object, **wanted)[1]
    open_bucket(bucket, {"AWS": DEV})
    assert client("s3", DEV).get_object(**wanted)["Body"].read() == b"content"


def test_an_explicit_deny_applies_to_the_operator(bucket: str) -> None:
    open_bucket(bucket, "*", Effect="Deny")

    code, message = refusal(client("s3", QA).get_object, Bucket=bucket, Key="a/b")

    assert code == "AccessDenied"
    assert message.endswith("with an explicit deny in a resource-based policy")


def test_a_missing_object_is_access_denied_without_list_bucket(role: Role, bucket: str) -> None:
    reader, lister = role({"Action": "s3:GetObject"}), role({"Action": ["s3:GetObject", "s3:ListBucket"]})

    assert refusal(as_role("s3", reader).get_object, Bucket=bucket, Key="none")[0] == "AccessDenied"
    assert refusal(as_role("s3", lister).get_object, Bucket=bucket, Key="none")[0] == "NoSuchKey"


def test_a_listing_can_be_limited_to_a_prefix(role: Role, bucket: str) -> None:
    s3 = as_role("s3", role({"Action": "s3:ListBucket", "Condition": {"StringLike": {"s3:prefix": "a/*"}}}))

    assert s3.list_objects_v2(Bucket=bucket, Prefix="a/")["KeyCount"] == 1
    assert refusal(s3.list_objects_v2, Bucket=bucket, Prefix="b/")[0] == "AccessDenied"
    assert refusal(s3.list_objects_v2, Bucket=bucket)[0] == "AccessDenied"


def test_a_copy_requires_permission_to_read_its_source_and_its_tags(role: Role, bucket: str) -> None:
    target = {"Action": ["s3:PutObject"], "Resource": f"arn:aws:s3:::{bucket}/copies/*"}
    source = {"Action": ["s3:GetObject"], "Resource": f"arn:aws:s3:::{bucket}/a/*"}
    request = {"Bucket": bucket, "Key": "copies/b", "CopySource": f"{bucket}/a/b"}

    assert "s3:GetObject on" in refusal(as_role("s3", role(target)).copy_object, **request)[1]
    copier = as_role("s3", role(target, source))
    assert copier.copy_object(**request)["CopyObjectResult"]
    tags = {"TagSet": [{"Key": "team", "Value": "blue"}]}
    client("s3", QA).put_object_tagging(Bucket=bucket, Key="a/b", Tagging=tags)
    assert "s3:GetObjectTagging" in refusal(copier.copy_object, **request)[1]
    assert copier.copy_object(**request, TaggingDirective="REPLACE")["CopyObjectResult"]


def test_the_number_of_tags_is_only_for_callers_that_can_read_the_tags(role: Role, bucket: str) -> None:
    place = {"Bucket": bucket, "Key": "a/b"}
    client("s3", QA).put_object_tagging(**place, Tagging={"TagSet": [{"Key": "team", "Value": "blue"}]})

    reader = as_role("s3", role({"Action": "s3:GetObject"}))
    assert "x-amz-tagging-count" not in reader.head_object(**place)["ResponseMetadata"]["HTTPHeaders"]
    assert "x-amz-tagging-count" not in reader.get_object(**place)["ResponseMetadata"]["HTTPHeaders"]

    reader = as_role("s3", role({"Action": ["s3:GetObject", "s3:GetObjectTagging"]}))
    assert reader.head_object(**place)["ResponseMetadata"]["HTTPHeaders"]["x-amz-tagging-count"] == "1"


def test_the_use_of_a_key_depends_on_its_key_policy(role: Role, bucket: str, name: str) -> None:
    kms, s3 = client("kms", QA), client("s3", QA)
    key = kms.create_key()["KeyMetadata"]["Arn"]
    s3.put_object(Bucket=bucket, Key="secret", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    wanted = {"Bucket": bucket, "Key": "secret"}
    reads = {"Action": "s3:GetObject"}
    via = {"StringEquals": {"kms:ViaService": "s3.eu-west-1.amazonaws.com"}}
    decrypts = {"Action": "kms:Decrypt", "Resource": key, "Condition": via}

    assert "kms:Decrypt" in refusal(as_role("s3", role(reads)).get_object, **wanted)[1]
    decrypter = role(reads, decrypts)
    assert as_role("s3", decrypter).get_object(**wanted)["Body"].read() == b"x"
    administrator = {"AWS": f"arn:aws:iam::{QA}:user/operator"}
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=policy({"Principal": administrator, "Action": "kms:*"}))
    assert "no resource-based policy" in refusal(as_role("s3", decrypter).get_object, **wanted)[1]


def test_an_aws_managed_key_is_used_only_by_its_account_and_only_through_its_service(
    role: Role, bucket: str, name: str
) -> None:
    s3 = client("s3", QA)
    s3.put_object(Bucket=bucket, Key="default", Body=bytes(6 * 1024**2), ServerSideEncryption="aws:kms")
    wanted = {"Bucket": bucket, "Key": "default"}
    source = {"CopySource": f"{bucket}/default"}
    anything = {"Action": ["s3:*", "kms:*"]}
    own, other = as_role("s3", role({"Action": "s3:GetObject"})), as_role("s3", role(anything, account=DEV))
    open_bucket(bucket, {"AWS": f"arn:aws:iam::{DEV}:root"})
    target = f"{name}-target"
    client("s3", DEV).create_bucket(Bucket=target, CreateBucketConfiguration={"LocationConstraint": accounts.REGION})
    upload = {"Bucket": target, "Key": "parts"}
    upload["UploadId"] = client("s3", DEV).create_multipart_upload(**upload)["UploadId"]

    # No policy of the role allows the use of the key; that of the key does.
    assert own.get_object(**wanted)["ContentLength"]
    assert own.head_object(**wanted, ChecksumMode="ENABLED")["ChecksumCRC32"]
    # The metadata is not encrypted, but everything else needs the key.
    assert other.head_object(**wanted)["SSEKMSKeyId"] == own.head_object(**wanted)["SSEKMSKeyId"]
    with pytest.raises(ClientError, match="403"):
        other.head_object(**wanted, ChecksumMode="ENABLED")
    for refused in (
        lambda: other.get_object(**wanted),
        lambda: other.copy_object(Bucket=target, Key="copy", **source),
        lambda: other.upload_part_copy(**upload, **source, PartNumber=1),
    ):
        assert "no resource-based policy allows the kms:Decrypt action" in refusal(refused)[1]
    key = own.head_object(**wanted)["SSEKMSKeyId"]
    kms = as_role("kms", role({"Action": "kms:*"}))
    assert "no resource-based policy" in refusal(kms.generate_data_key, KeyId=key, KeySpec="AES_256")[1]
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["Arn"] == key


def test_a_transaction_requires_the_permissions_of_all_its_items(role: Role, name: str) -> None:
    client("dynamodb", QA).create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
    )
    writes = {"Action": ["dynamodb:PutItem"], "Resource": f"arn:aws:dynamodb:eu-west-1:{QA}:table/{name}"}
    dynamodb = as_role("dynamodb", role(writes))
    put = {"Put": {"TableName": name, "Item": {"k": {"S": "a"}}}}
    delete = {"Delete": {"TableName": name, "Key": {"k": {"S": "b"}}}}

    dynamodb.transact_write_items(TransactItems=[put])
    assert "dynamodb:DeleteItem" in refusal(dynamodb.transact_write_items, TransactItems=[put, delete])[1]


def test_tagging_and_passing_a_role_require_separate_permissions(role: Role, name: str) -> None:
    passed = role()
    creates = {"Action": "sagemaker:CreateModel"}
    passes = {
        "Action": "iam:PassRole",
        "Resource": passed,
        "Condition": {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}},
    }
    image = {"Image": f"{QA}.dkr.ecr.eu-west-1.amazonaws.com/echo:1"}
    request = {"ModelName": name, "ExecutionRoleArn": passed, "PrimaryContainer": image}

    sagemaker = as_role("sagemaker", role(creates, passes))
    assert "iam:PassRole" in refusal(sagemaker.create_model, **request)[1]
    tagged = request | {"Tags": [{"Key": "team", "Value": "blue"}]}
    assert "sagemaker:AddTags" in refusal(sagemaker.create_model, **tagged)[1]


def test_a_permission_can_depend_on_resource_tags(role: Role, name: str) -> None:
    operator = client("sagemaker", QA)
    serving = role()
    image = {"Image": f"{QA}.dkr.ecr.eu-west-1.amazonaws.com/echo:1"}
    trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    client("iam", QA).update_assume_role_policy(
        RoleName=serving.rpartition("/")[2],
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )
    for suffix, tags in (("blue", [{"Key": "team", "Value": "blue"}]), ("red", [{"Key": "team", "Value": "red"}])):
        operator.create_model(ModelName=f"{name}-{suffix}", ExecutionRoleArn=serving, PrimaryContainer=image, Tags=tags)
    operator.create_model(ModelName=name, ExecutionRoleArn=serving, PrimaryContainer=image)
    of_blue = {"StringLike": {"aws:ResourceTag/team": "bl*"}}
    remover = as_role("sagemaker", role({"Action": "sagemaker:DeleteModel", "Condition": of_blue}))

    assert "sagemaker:DeleteModel" in refusal(remover.delete_model, ModelName=name)[1]
    assert "sagemaker:DeleteModel" in refusal(remover.delete_model, ModelName=f"{name}-red")[1]
    remover.delete_model(ModelName=f"{name}-blue")
    assert [m["ModelName"] for m in operator.list_models(NameContains=name)["Models"]] == [name, f"{name}-red"]


def test_an_update_of_an_endpoint_can_depend_on_its_tags_and_a_tag_on_its_creation(
    aws: EmbeddedAws, role: Role, name: str
) -> None:
    account = Account("qa", name)
    account.endpoint(account.greeter_config("first", "Hello"))
    second = account.greeter_config("second", "Hi")
    arn = f"arn:aws:sagemaker:{accounts.REGION}:{QA}:endpoint/{name}"
    tagged = {"Null": {"aws:ResourceTag/team": "false"}}
    on_creation = {"StringEquals": {"sagemaker:TaggingAction": "CreateEndpoint"}}
    maker = as_role(
        "sagemaker",
        role(
            {"Action": "sagemaker:CreateEndpoint"},
            {"Action": "sagemaker:AddTags", "Condition": on_creation},
            {"Action": "sagemaker:UpdateEndpoint", "Resource": f"arn:aws:sagemaker:*:{QA}:endpoint-config/*"},
            {"Action": "sagemaker:UpdateEndpoint", "Resource": arn, "Condition": tagged},
        ),
    )
    tags = [{"Key": "team", "Value": "blue"}]
    update = {"EndpointName": name, "EndpointConfigName": second}

    assert f"sagemaker:UpdateEndpoint on resource: {arn}" in refusal(maker.update_endpoint, **update)[1]
    assert "sagemaker:AddTags" in refusal(maker.add_tags, ResourceArn=arn, Tags=tags)[1]
    assert maker.create_endpoint(EndpointName=f"{name}-2", EndpointConfigName=second, Tags=tags)["EndpointArn"]
    account.sagemaker.add_tags(ResourceArn=arn, Tags=tags)
    assert maker.update_endpoint(**update)["EndpointArn"] == arn


def test_get_role_is_decided_by_the_path_of_the_role(aws: EmbeddedAws, role: Role, name: str) -> None:
    iam_client = client("iam", QA)
    for path in ("/serving/", "/other/"):
        trust = {"Version": "2012-10-17", "Statement": []}
        iam_client.create_role(
            RoleName=f"{name}-{path.strip('/')}", Path=path, AssumeRolePolicyDocument=json.dumps(trust)
        )
    reader = as_role("iam", role({"Action": "iam:GetRole", "Resource": f"arn:aws:iam::{QA}:role/serving/*"}))

    assert reader.get_role(RoleName=f"{name}-serving")["Role"]["Path"] == "/serving/"
    assert "iam:GetRole" in refusal(reader.get_role, RoleName=f"{name}-other")[1]
    assert "iam:GetRole" in refusal(reader.get_role, RoleName=f"{name}-unknown")[1]


def test_the_default_version_of_a_managed_policy_applies(role: Role, name: str) -> None:
    iam_client = client("iam", QA)
    both = {"Action": ["ssm:PutParameter", "ssm:GetParameter"]}
    shared = iam_client.create_policy(PolicyName=name, Path="/some/path/", PolicyDocument=policy(both))["Policy"]["Arn"]
    reader, writer, neither = role(), role(), role()
    for arn in (reader, writer):
        iam_client.attach_role_policy(RoleName=arn.rpartition("/")[2], PolicyArn=shared)

    as_role("ssm", writer).put_parameter(Name=name, Value="x", Type="String")
    assert as_role("ssm", reader).get_parameter(Name=name)["Parameter"]["Value"] == "x"
    assert "no identity-based policy" in refusal(as_role("ssm", neither).get_parameter, Name=name)[1]

    denying = policy(both, {"Effect": "Deny", "Action": "ssm:PutParameter"})
    iam_client.create_policy_version(PolicyArn=shared, PolicyDocument=denying, SetAsDefault=True)
    iam_client.detach_role_policy(RoleName=reader.rpartition("/")[2], PolicyArn=shared)

    assert (
        "explicit deny in an identity-based"
        in refusal(as_role("ssm", writer).put_parameter, Name=name, Value="y", Type="String", Overwrite=True)[1]
    )
    assert as_role("ssm", writer).get_parameter(Name=name)["Parameter"]["Value"] == "x"
    assert "no identity-based policy" in refusal(as_role("ssm", reader).get_parameter, Name=name)[1]


def test_a_permissions_boundary_restricts_a_role(role: Role, name: str) -> None:
    parameter = {"Action": ["ssm:GetParameter", "ssm:PutParameter"]}
    limited = role(parameter)
    boundary = client("iam", QA).create_policy(PolicyName=name, PolicyDocument=policy({"Action": "ssm:PutParameter"}))
    client("iam", QA).put_role_permissions_boundary(
        RoleName=limited.rpartition("/")[2], PermissionsBoundary=boundary["Policy"]["Arn"]
    )

    as_role("ssm", limited).put_parameter(Name=name, Value="x", Type="String")

    assert "no permissions boundary" in refusal(as_role("ssm", limited).get_parameter, Name=name)[1]


def test_an_operation_with_unknown_permissions_is_denied_except_to_operators(
    role: Role, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = as_role("events", role({"Action": "*"}))

    with caplog.at_level(logging.WARNING):
        assert "does not know" in refusal(stranger.list_event_buses)[1]

    assert "events:ListEventBuses is denied" in caplog.text
    assert client("events", QA).list_event_buses()["EventBuses"]


def test_an_unknown_access_key_is_rejected(aws: EmbeddedAws) -> None:
    session = boto3.session.Session("AKIANOBODY", "secret", region_name=accounts.REGION)
    stranger = session.client("sagemaker", endpoint_url=accounts.endpoint_url())

    assert refusal(stranger.list_models)[0] == "UnrecognizedClientException"


def test_a_header_does_not_select_another_account(aws: EmbeddedAws, name: str) -> None:
    client("ssm", PRODUCTION).put_parameter(Name=name, Value="secret", Type="String")
    stranger = clients.client_as_operator("ssm", QA)
    stranger.meta.events.register(
        "before-sign", lambda request, **_: request.headers.add_header("x-moto-account-id", PRODUCTION)
    )

    assert refusal(stranger.get_parameter, Name=name)[0] == "ParameterNotFound"


def test_a_missing_or_untrusting_role_is_not_assumed(role: Role, name: str) -> None:
    arn = role()
    by = clients.ServiceCall("states.amazonaws.com", f"arn:aws:states:eu-west-1:{QA}:stateMachine:x")

    for each in (arn, f"{arn}-gone"):
        with pytest.raises(ClientError, match="sts:AssumeRole on resource"):
            clients.role_credentials(each, "session", by)


def test_lambda_assumes_roles_without_a_source_arn(aws: EmbeddedAws, name: str) -> None:
    function = f"arn:aws:lambda:eu-west-1:{QA}:function:x"
    trust = {
        "Principal": {"Service": "lambda.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": {"ArnLike": {"aws:SourceArn": function}},
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **trust}]})
    arn = client("iam", QA).create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]

    with pytest.raises(ClientError, match="sts:AssumeRole on resource"):
        clients.role_credentials(arn, "session", clients.ServiceCall("lambda.amazonaws.com", function))


def test_the_policy_of_a_table_allows_and_denies(role: Role, name: str) -> None:
    dynamodb = client("dynamodb", QA)
    table = dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
    )["TableDescription"]["TableArn"]
    admitted, denied_role = role(), role({"Action": "dynamodb:GetItem"})
    wanted = {"TableName": name, "Key": {"k": {"S": "x"}}}
    reads = {"Action": "dynamodb:GetItem", "Resource": table}

    assert "identity-based" in refusal(as_role("dynamodb", admitted).get_item, **wanted)[1]
    admits = {**reads, "Principal": {"AWS": admitted}}
    denies = {**reads, "Effect": "Deny", "Principal": {"AWS": denied_role}}
    dynamodb.put_resource_policy(ResourceArn=table, Policy=policy(admits, denies))
    assert "Item" not in as_role("dynamodb", admitted).get_item(**wanted)
    assert "explicit deny in a resource-based" in refusal(as_role("dynamodb", denied_role).get_item, **wanted)[1]


def test_an_invalid_policy_denies_everything(role: Role, bucket: str) -> None:
    open_bucket(bucket, "*", Whatever="x")
    reader = as_role("s3", role({"Action": "s3:GetObject"}))

    assert "explicit deny in a resource-based" in refusal(reader.get_object, Bucket=bucket, Key="a/b")[1]


def test_observers_receive_decisions_with_the_matching_statements(role: Role, name: str) -> None:
    arn = role({"Sid": "Reads", "Action": "ssm:Get*", "Resource": f"arn:aws:ssm:*:{QA}:parameter/{name}*"})

    observed: list[decisions.Decision] = []
    with decisions.watched(observed.append):
        refusal(as_role("ssm", arn).get_parameter, Name=f"/{name}/x")

    (decision,) = [decision for decision in observed if decision.resource.endswith(f"parameter/{name}/x")]
    (match,) = decision.by
    assert decision.allowed
    assert decision.action == "ssm:GetParameter"
    assert str(match.statement) == f"{arn} own[Reads]"
    assert (match.action, match.resource) == ("ssm:Get*", f"arn:aws:ssm:*:{QA}:parameter/{name}*")


def test_alarm_permissions_are_per_alarm_name(role: Role, name: str) -> None:
    arn = f"arn:aws:cloudwatch:eu-west-1:{QA}:alarm:{name}-*"
    caller = as_role("cloudwatch", role({"Action": ["cloudwatch:*"], "Resource": arn}))
    members: dict[str, Any] = {
        "Namespace": "AWS/SageMaker",
        "MetricName": "ModelLatency",
        "ComparisonOperator": "GreaterThanThreshold",
        "EvaluationPeriods": 1,
        "Period": 60,
        "Statistic": "Average",
        "Threshold": 1,
    }

    caller.put_metric_alarm(AlarmName=f"{name}-latency", **members)

    assert caller.describe_alarms(AlarmNames=[f"{name}-latency"])["MetricAlarms"]
    with pytest.raises(ClientError, match="cloudwatch:PutMetricAlarm"):
        caller.put_metric_alarm(AlarmName="another", **members)


@pytest.mark.parametrize("granted", [True, False])
def test_an_endpoint_with_a_kms_key_requires_create_grant(role: Role, name: str, granted: bool) -> None:
    key_arn = client("kms", QA).create_key()["KeyMetadata"]["Arn"]
    account = Account("qa", name)
    config = account.config(account.model("a", greeter("Hello")), KmsKeyId=key_arn)
    grant = {
        "Action": "kms:CreateGrant",
        "Resource": key_arn,
        "Condition": {
            "Bool": {"kms:GrantIsForAWSResource": "true"},
            "StringEquals": {"kms:ViaService": "sagemaker.eu-west-1.amazonaws.com"},
        },
    }
    caller = as_role("sagemaker", role({"Action": "sagemaker:*"}, *([grant] if granted else [])))

    if granted:
        assert caller.create_endpoint(EndpointName=name, EndpointConfigName=config)["EndpointArn"]
    else:
        with pytest.raises(ClientError, match="kms:CreateGrant"):
            caller.create_endpoint(EndpointName=name, EndpointConfigName=config)
