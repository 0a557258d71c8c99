"""Every type of resource that a stack may have, deployed by a tiny template and read back from its service."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local import cloudformation, identity
from local.aws import EmbeddedAws

ACCOUNT = identity.ACCOUNTS["qa"]
ASSUME = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
ROLE = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": ASSUME}}
CODE = {"ZipFile": "def handler(event, context):\n    return 1\n"}

Outputs = dict[str, str]
Deploy = Callable[..., Outputs]


def client(service: str) -> Any:
    return identity.client_as_operator(service, ACCOUNT)


def allow(action: str, resource: Any, service: str) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": action, "Resource": resource}
    return {"Version": "2012-10-17", "Statement": [statement]}


@pytest.fixture
def deploy(aws: EmbeddedAws, name: str, tmp_path: Path) -> Deploy:
    """Deploy resources as the test's stack; every output is what the given expression comes to."""

    def deploy_resources(resources: dict[str, Any], outputs: dict[str, Any] | None = None) -> Outputs:
        values = {key: {"Value": value} for key, value in (outputs or {}).items()}
        template = tmp_path / "template.json"
        template.write_text(json.dumps({"Resources": resources, "Outputs": values}))
        return cloudformation.deploy(aws, template=template, stack_name=name, account=ACCOUNT, parameters={})

    return deploy_resources


def delete_stack(name: str) -> None:
    client("cloudformation").delete_stack(StackName=name)


def attributes_of(*logical_and_attribute: str) -> dict[str, Any]:
    """Outputs `Ref` and one for each attribute of a resource."""
    logical_id, *names = logical_and_attribute
    return {"Ref": {"Ref": logical_id}} | {name: {"Fn::GetAtt": [logical_id, name]} for name in names}


def test_role(deploy: Deploy, name: str) -> None:
    policy = {
        "PolicyName": "inline",
        "PolicyDocument": {"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]},
    }
    managed = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
    properties = {
        "Path": "/some/path/",
        "AssumeRolePolicyDocument": ASSUME,
        "Policies": [policy, policy | {"PolicyName": "other"}],
        "ManagedPolicyArns": [managed],
    }
    iam = client("iam")

    outputs = deploy({"R": {"Type": "AWS::IAM::Role", "Properties": properties}}, attributes_of("R", "Arn", "RoleId"))

    role = iam.get_role(RoleName=outputs["Ref"])["Role"]
    assert outputs["Ref"].startswith(f"{name}-R-")
    assert outputs["Arn"] == role["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/some/path/{outputs['Ref']}"
    assert outputs["RoleId"] == role["RoleId"]
    assert role["AssumeRolePolicyDocument"] == ASSUME
    assert iam.list_role_policies(RoleName=outputs["Ref"])["PolicyNames"] == ["inline", "other"]
    attached = iam.list_attached_role_policies(RoleName=outputs["Ref"])["AttachedPolicies"]
    assert [policy["PolicyArn"] for policy in attached] == [managed]

    del properties["ManagedPolicyArns"]
    trust = json.loads(json.dumps(ASSUME).replace("lambda", "states"))
    properties |= {"Policies": [policy], "AssumeRolePolicyDocument": trust}
    again = deploy({"R": {"Type": "AWS::IAM::Role", "Properties": properties}}, attributes_of("R"))

    assert again["Ref"] == outputs["Ref"]
    assert iam.list_role_policies(RoleName=outputs["Ref"])["PolicyNames"] == ["inline"]
    assert iam.list_attached_role_policies(RoleName=outputs["Ref"])["AttachedPolicies"] == []
    assert iam.get_role(RoleName=outputs["Ref"])["Role"]["AssumeRolePolicyDocument"] == trust

    delete_stack(name)
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_role(RoleName=outputs["Ref"])


def test_policies_of_roles(deploy: Deploy, name: str) -> None:
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    resources = {
        "R": ROLE,
        "P": {
            "Type": "AWS::IAM::Policy",
            "Properties": {"PolicyName": "p", "PolicyDocument": document, "Roles": [{"Ref": "R"}]},
        },
        "M": {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": document, "Roles": [{"Ref": "R"}]}},
    }
    iam = client("iam")

    outputs = deploy(resources, {"R": {"Ref": "R"}, "M": {"Ref": "M"}})

    assert iam.get_role_policy(RoleName=outputs["R"], PolicyName="p")["PolicyDocument"] == document
    assert iam.list_attached_role_policies(RoleName=outputs["R"])["AttachedPolicies"][0]["PolicyArn"] == outputs["M"]

    for number in range(7):
        document["Statement"][0]["Action"] = f"s3:Get{number}*"  # type: ignore[index]
        deploy(resources, {"R": {"Ref": "R"}, "M": {"Ref": "M"}})

    version = iam.get_policy(PolicyArn=outputs["M"])["Policy"]["DefaultVersionId"]
    read = iam.get_policy_version(PolicyArn=outputs["M"], VersionId=version)["PolicyVersion"]["Document"]
    assert read == document
    assert iam.get_role_policy(RoleName=outputs["R"], PolicyName="p")["PolicyDocument"] == document
    delete_stack(name)
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_policy(PolicyArn=outputs["M"])


def test_key_and_alias(deploy: Deploy, name: str) -> None:
    root = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:*", "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [root]}
    key = {"Type": "AWS::KMS::Key", "Properties": {"Description": "d", "KeyPolicy": policy, "EnableKeyRotation": True}}
    alias = {"Type": "AWS::KMS::Alias", "Properties": {"AliasName": f"alias/{name}", "TargetKeyId": {"Ref": "K"}}}
    kms = client("kms")

    outputs = deploy({"K": key, "A": alias}, attributes_of("K", "Arn", "KeyId"))

    described = kms.describe_key(KeyId=f"alias/{name}")["KeyMetadata"]
    assert (described["KeyId"], described["Arn"]) == (outputs["Ref"], outputs["Arn"])
    assert described["Description"] == "d"
    assert kms.get_key_rotation_status(KeyId=outputs["Ref"])["KeyRotationEnabled"] is True
    assert json.loads(kms.get_key_policy(KeyId=outputs["Ref"], PolicyName="default")["Policy"]) == policy

    root["Sid"] = "Changed"
    deploy({"K": key}, attributes_of("K"))

    assert json.loads(kms.get_key_policy(KeyId=outputs["Ref"], PolicyName="default")["Policy"]) == policy
    with pytest.raises(kms.exceptions.NotFoundException):
        kms.describe_key(KeyId=f"alias/{name}")
    delete_stack(name)
    assert kms.describe_key(KeyId=outputs["Ref"])["KeyMetadata"]["KeyState"] == "PendingDeletion"


def test_bucket_and_its_policy(deploy: Deploy, name: str) -> None:
    rule = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/k"}
    blocked = dict.fromkeys(("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True)
    properties: dict[str, Any] = {
        "BucketEncryption": {
            "ServerSideEncryptionConfiguration": [{"ServerSideEncryptionByDefault": rule, "BucketKeyEnabled": True}]
        },
        "VersioningConfiguration": {"Status": "Enabled"},
        "PublicAccessBlockConfiguration": blocked,
        "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
        "LifecycleConfiguration": {
            "Rules": [
                {"Id": "old", "Status": "Enabled", "NoncurrentVersionExpiration": {"NoncurrentDays": 30}},
                {
                    "Id": "parts",
                    "Status": "Enabled",
                    "Prefix": "models/",
                    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
                    "ExpirationInDays": 90,
                },
            ]
        },
        "Tags": [{"Key": "k", "Value": "v"}],
    }
    policy = {
        "Bucket": {"Ref": "B"},
        "PolicyDocument": allow("s3:GetObject", {"Fn::Sub": "${B.Arn}/*"}, "sns.amazonaws.com"),
    }
    resources = {
        "B": {"Type": "AWS::S3::Bucket", "Properties": properties},
        "P": {"Type": "AWS::S3::BucketPolicy", "Properties": policy},
    }
    s3 = client("s3")

    outputs = deploy(resources, attributes_of("B", "Arn", "RegionalDomainName"))

    bucket = outputs["Ref"]
    assert bucket.startswith(f"{name}-b-")
    assert bucket == bucket.lower()
    assert outputs["Arn"] == f"arn:aws:s3:::{bucket}"
    (encryption,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert encryption["ApplyServerSideEncryptionByDefault"] == rule
    assert encryption["BucketKeyEnabled"] is True
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    assert s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"] == blocked
    ownership = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
    assert ownership == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    old, parts = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert old["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}
    assert parts["Filter"] == {"Prefix": "models/"}
    assert parts["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    assert parts["Expiration"]["Days"] == 90
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == [{"Key": "k", "Value": "v"}]
    statement = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"][0]
    assert statement["Resource"] == f"arn:aws:s3:::{bucket}/*"

    del properties["LifecycleConfiguration"], properties["VersioningConfiguration"]
    policy["PolicyDocument"] = allow("s3:ListBucket", {"Fn::GetAtt": ["B", "Arn"]}, "sns.amazonaws.com")
    deploy(resources)

    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Suspended"
    with pytest.raises(ClientError, match="NoSuchLifecycleConfiguration"):
        s3.get_bucket_lifecycle_configuration(Bucket=bucket)
    assert "s3:ListBucket" in s3.get_bucket_policy(Bucket=bucket)["Policy"]

    delete_stack(name)
    assert bucket not in {existing["Name"] for existing in s3.list_buckets()["Buckets"]}


def test_table(deploy: Deploy, name: str) -> None:
    index = {
        "IndexName": "by-n",
        "KeySchema": [{"AttributeName": "n", "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "ALL"},
    }
    properties: dict[str, Any] = {
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": key, "AttributeType": "S"} for key in ("id", "n")],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "GlobalSecondaryIndexes": [index],
        "SSESpecification": {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": "alias/k"},
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
        "TimeToLiveSpecification": {"AttributeName": "expires", "Enabled": True},
        "DeletionProtectionEnabled": False,
    }
    resources = {"T": {"Type": "AWS::DynamoDB::Table", "Properties": properties}}
    dynamodb = client("dynamodb")

    outputs = deploy(resources, attributes_of("T", "Arn"))

    table = dynamodb.describe_table(TableName=outputs["Ref"])["Table"]
    assert outputs["Ref"].startswith(f"{name}-T-")
    assert outputs["Arn"] == table["TableArn"]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert [existing["IndexName"] for existing in table["GlobalSecondaryIndexes"]] == ["by-n"]
    assert (table["SSEDescription"]["Status"], table["SSEDescription"]["SSEType"]) == ("ENABLED", "KMS")
    backups = dynamodb.describe_continuous_backups(TableName=outputs["Ref"])["ContinuousBackupsDescription"]
    assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"
    ttl = dynamodb.describe_time_to_live(TableName=outputs["Ref"])["TimeToLiveDescription"]
    assert ttl == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires"}

    properties["GlobalSecondaryIndexes"] = [index | {"IndexName": "again-by-n"}]
    properties["DeletionProtectionEnabled"] = True
    deploy(resources)

    table = dynamodb.describe_table(TableName=outputs["Ref"])["Table"]
    assert [existing["IndexName"] for existing in table["GlobalSecondaryIndexes"]] == ["again-by-n"]
    assert table["DeletionProtectionEnabled"] is True


def test_log_group(deploy: Deploy, name: str) -> None:
    properties = {"LogGroupName": f"/logs/{name}", "RetentionInDays": "30"}
    logs = client("logs")

    outputs = deploy({"L": {"Type": "AWS::Logs::LogGroup", "Properties": properties}}, attributes_of("L", "Arn"))

    (group,) = logs.describe_log_groups(logGroupNamePrefix=f"/logs/{name}")["logGroups"]
    assert outputs == {"Ref": f"/logs/{name}", "Arn": group["arn"]}
    assert group["retentionInDays"] == 30

    del properties["RetentionInDays"]
    deploy({"L": {"Type": "AWS::Logs::LogGroup", "Properties": properties}})
    assert "retentionInDays" not in logs.describe_log_groups(logGroupNamePrefix=f"/logs/{name}")["logGroups"][0]


def test_ssm_parameter(deploy: Deploy, name: str) -> None:
    ssm = client("ssm")

    def resources(value: str) -> dict[str, Any]:
        properties = {"Name": f"/a/{name}", "Type": "String", "Value": value, "Tags": {"k": "v"}}
        return {"P": {"Type": "AWS::SSM::Parameter", "Properties": properties}}

    assert deploy(resources("1"), attributes_of("P", "Value")) == {"Ref": f"/a/{name}", "Value": "1"}
    assert ssm.get_parameter(Name=f"/a/{name}")["Parameter"]["Value"] == "1"
    assert deploy(resources("2"), attributes_of("P", "Value"))["Value"] == "2"
    assert ssm.get_parameter(Name=f"/a/{name}")["Parameter"]["Value"] == "2"
    delete_stack(name)
    with pytest.raises(ssm.exceptions.ParameterNotFound):
        ssm.get_parameter(Name=f"/a/{name}")


@pytest.mark.parametrize("as_text", [False, True])
def test_ssm_document(deploy: Deploy, name: str, as_text: bool) -> None:
    ssm = client("ssm")

    def resources(description: str) -> dict[str, Any]:
        step = {"name": "wait", "action": "aws:sleep", "inputs": {"Duration": "PT1S"}}
        content = {"schemaVersion": "0.3", "description": description, "mainSteps": [step]}
        properties = {
            "Name": name,
            "DocumentType": "Automation",
            "UpdateMethod": "NewVersion",
            "Content": json.dumps(content) if as_text else content,
        }
        return {"D": {"Type": "AWS::SSM::Document", "Properties": properties}}

    assert deploy(resources("one"), attributes_of("D")) == {"Ref": name}
    assert json.loads(ssm.get_document(Name=name)["Content"])["description"] == "one"
    assert ssm.describe_document(Name=name)["Document"]["DocumentType"] == "Automation"

    deploy(resources("two"))

    assert json.loads(ssm.get_document(Name=name)["Content"])["description"] == "two"
    assert ssm.describe_document(Name=name)["Document"]["DefaultVersion"] == "2"


def test_a_document_with_a_name_of_its_own_cannot_be_replaced(deploy: Deploy, name: str) -> None:
    step = {"name": "wait", "action": "aws:sleep", "inputs": {"Duration": "PT1S"}}
    content = {"schemaVersion": "0.3", "mainSteps": [step]}
    properties: dict[str, Any] = {"Name": name, "DocumentType": "Automation", "Content": content}
    deploy({"D": {"Type": "AWS::SSM::Document", "Properties": properties}})

    properties["Content"] = content | {"description": "changed"}
    with pytest.raises(cloudformation.DeploymentError, match="custom-named resource requires replacing"):
        deploy({"D": {"Type": "AWS::SSM::Document", "Properties": properties}})


def test_function_with_permission_and_event_invoke_config(deploy: Deploy, name: str) -> None:
    properties: dict[str, Any] = {
        "Runtime": "python3.13",
        "Handler": "index.handler",
        "Role": {"Fn::GetAtt": ["R", "Arn"]},
        "Code": CODE,
        "Timeout": "7",
        "MemorySize": 256,
        "Environment": {"Variables": {"COUNT": 3, "FLAG": True}},
        "Tags": [{"Key": "k", "Value": "v"}],
    }
    permission = {"FunctionName": {"Ref": "F"}, "Action": "lambda:InvokeFunction", "Principal": "events.amazonaws.com"}
    retries = {"FunctionName": {"Ref": "F"}, "Qualifier": "$LATEST", "MaximumRetryAttempts": 0}
    resources = {
        "R": ROLE,
        "F": {"Type": "AWS::Lambda::Function", "Properties": properties},
        "P": {"Type": "AWS::Lambda::Permission", "Properties": permission},
        "E": {"Type": "AWS::Lambda::EventInvokeConfig", "Properties": retries},
    }
    functions = client("lambda")

    outputs = deploy(resources, attributes_of("F", "Arn"))

    function = functions.get_function(FunctionName=outputs["Ref"])
    configuration = function["Configuration"]
    assert outputs["Ref"].startswith(f"{name}-F-")
    assert outputs["Arn"] == configuration["FunctionArn"]
    assert (configuration["Timeout"], configuration["MemorySize"]) == (7, 256)
    assert configuration["Environment"]["Variables"] == {"COUNT": "3", "FLAG": "true"}
    assert function["Tags"] == {"k": "v"}
    assert json.loads(functions.invoke(FunctionName=outputs["Ref"])["Payload"].read()) == 1
    statement = json.loads(functions.get_policy(FunctionName=outputs["Ref"])["Policy"])["Statement"][0]
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert functions.get_function_event_invoke_config(FunctionName=outputs["Ref"])["MaximumRetryAttempts"] == 0

    properties |= {"Timeout": 9, "Code": {"ZipFile": CODE["ZipFile"].replace("1", "2")}}
    retries["MaximumRetryAttempts"] = 1
    deploy(resources)

    assert functions.get_function_configuration(FunctionName=outputs["Ref"])["Timeout"] == 9
    assert json.loads(functions.invoke(FunctionName=outputs["Ref"])["Payload"].read()) == 2
    assert functions.get_function_event_invoke_config(FunctionName=outputs["Ref"])["MaximumRetryAttempts"] == 1
    delete_stack(name)
    with pytest.raises(functions.exceptions.ResourceNotFoundException):
        functions.get_function(FunctionName=outputs["Ref"])


@pytest.mark.parametrize("form", ["DefinitionString", "Definition", "DefinitionS3Location"])
def test_state_machine(deploy: Deploy, name: str, form: str) -> None:
    wait: dict[str, Any] = {"Type": "Wait", "Seconds": 1, "Next": "Tell"}
    states = {"Rest": wait, "Tell": {"Type": "Pass", "Output": "${Text}", "End": True}}
    definition = {"QueryLanguage": "JSONata", "StartAt": "Rest", "States": states}
    # Only a text can have a substitution in the place of a number.
    text = json.dumps(definition).replace('"Seconds": 1', '"Seconds": ${Seconds}')
    given: Any = definition if form == "Definition" else text
    if form == "DefinitionS3Location":
        client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        client("s3").put_object(Bucket=name, Key="machine.yaml", Body=f"# YAML may have comments\n{text}".encode())
        given = {"Bucket": name, "Key": "machine.yaml"}
    properties = {
        "RoleArn": {"Fn::GetAtt": ["R", "Arn"]},
        form: given,
        "DefinitionSubstitutions": {"Text": {"Ref": "R"}, "Seconds": 0, "Unused": True},
        "LoggingConfiguration": {"Level": "ERROR", "IncludeExecutionData": False},
    }
    resources = {"R": ROLE, "M": {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}}
    states_client = client("stepfunctions")

    outputs = deploy(resources, attributes_of("M", "Arn", "Name") | {"Role": {"Ref": "R"}})

    machine = states_client.describe_state_machine(stateMachineArn=outputs["Ref"])
    assert outputs["Ref"] == outputs["Arn"] == machine["stateMachineArn"]
    assert outputs["Name"] == machine["name"]
    assert machine["name"].startswith(f"{name}-M-")
    assert machine["loggingConfiguration"]["level"] == "ERROR"
    read = json.loads(machine["definition"])["States"]
    assert read["Rest"]["Seconds"] == (1 if form == "Definition" else 0)
    assert read["Tell"]["Output"] == outputs["Role"]

    properties["DefinitionSubstitutions"] = {"Text": "changed", "Seconds": 0}
    assert deploy(resources, attributes_of("M"))["Ref"] == outputs["Ref"]

    changed = json.loads(states_client.describe_state_machine(stateMachineArn=outputs["Ref"])["definition"])
    assert changed["States"]["Tell"]["Output"] == "changed"


def test_a_state_machine_that_cannot_run_fails_its_deployment(deploy: Deploy) -> None:
    definition = "StartAt: A\nStates:\n  A: {Type: Pass, Next: Nowhere}\n"
    properties = {"RoleArn": {"Fn::GetAtt": ["R", "Arn"]}, "DefinitionString": definition}

    with pytest.raises(cloudformation.DeploymentError, match=r"M \(AWS::StepFunctions::StateMachine\).*Nowhere"):
        deploy({"R": ROLE, "M": {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}})


def test_model_package_group(deploy: Deploy, name: str) -> None:
    properties = {"ModelPackageGroupName": name, "ModelPackageGroupDescription": "d"}
    sagemaker = client("sagemaker")

    outputs = deploy({"G": {"Type": "AWS::SageMaker::ModelPackageGroup", "Properties": properties}}, attributes_of("G"))

    group = sagemaker.describe_model_package_group(ModelPackageGroupName=name)
    assert outputs["Ref"] == group["ModelPackageGroupArn"]
    assert group["ModelPackageGroupDescription"] == "d"


def test_event_bus_policy_and_rules(deploy: Deploy, name: str) -> None:
    bus = {"Name": name}
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{identity.ACCOUNTS['dev']}:root"},
        "Action": "events:PutEvents",
        "Resource": {"Fn::GetAtt": ["B", "Arn"]},
        "Condition": {"StringEquals": {"events:source": "x"}},
    }
    bus_policy = {"EventBusName": {"Ref": "B"}, "StatementId": "upstream", "Statement": statement}
    target = {
        "Id": "queue",
        "Arn": {"Fn::GetAtt": ["Q", "Arn"]},
        "InputTransformer": {"InputPathsMap": {"n": "$.detail.n"}, "InputTemplate": '{"n": <n>}'},
        "DeadLetterConfig": {"Arn": {"Fn::GetAtt": ["Q", "Arn"]}},
        "RetryPolicy": {"MaximumRetryAttempts": 1},
    }
    rule: dict[str, Any] = {
        "EventBusName": {"Ref": "B"},
        "Description": "d",
        "EventPattern": {"source": ["x"]},
        "State": "DISABLED",
        "Targets": [target],
    }
    on_default = {"EventPattern": {"source": ["y"]}, "Targets": [{"Id": "queue", "Arn": {"Fn::GetAtt": ["Q", "Arn"]}}]}
    queue_policy = {
        "Queues": [{"Ref": "Q"}],
        "PolicyDocument": allow("sqs:SendMessage", {"Fn::GetAtt": ["Q", "Arn"]}, "events.amazonaws.com"),
    }
    resources = {
        "Q": {"Type": "AWS::SQS::Queue"},
        "QP": {"Type": "AWS::SQS::QueuePolicy", "Properties": queue_policy},
        "B": {"Type": "AWS::Events::EventBus", "Properties": bus},
        "BP": {"Type": "AWS::Events::EventBusPolicy", "Properties": bus_policy},
        "R": {"Type": "AWS::Events::Rule", "Properties": rule, "DependsOn": "QP"},
        "D": {"Type": "AWS::Events::Rule", "Properties": on_default, "DependsOn": "QP"},
    }
    eventbridge = client("events")

    outputs = deploy(
        resources,
        attributes_of("B", "Arn") | {"R": {"Ref": "R"}, "RArn": {"Fn::GetAtt": ["R", "Arn"]}, "D": {"Ref": "D"}},
    )

    described = eventbridge.describe_event_bus(Name=name)
    assert (outputs["Ref"], outputs["Arn"]) == (name, described["Arn"])
    (read,) = json.loads(described["Policy"])["Statement"]
    assert (read["Sid"], read["Condition"], read["Resource"]) == ("upstream", statement["Condition"], described["Arn"])
    rule_name = outputs["R"].removeprefix(f"{name}|")
    assert rule_name.startswith(f"{name}-R-")
    made = eventbridge.describe_rule(Name=rule_name, EventBusName=name)
    assert outputs["RArn"] == made["Arn"]
    assert (json.loads(made["EventPattern"]), made["State"]) == ({"source": ["x"]}, "DISABLED")
    (read_target,) = eventbridge.list_targets_by_rule(Rule=rule_name, EventBusName=name)["Targets"]
    assert read_target["InputTransformer"] == target["InputTransformer"]
    assert read_target["RetryPolicy"] == {"MaximumRetryAttempts": 1}
    assert read_target["DeadLetterConfig"]["Arn"] == read_target["Arn"]
    assert outputs["D"].startswith(f"{name}-D-")
    assert eventbridge.describe_rule(Name=outputs["D"])["State"] == "ENABLED"

    rule |= {"State": "ENABLED", "EventPattern": {"source": ["z"]}, "Targets": [target | {"Id": "other"}]}
    statement["Condition"] = {"StringEquals": {"events:source": "z"}}
    deploy(resources)

    made = eventbridge.describe_rule(Name=rule_name, EventBusName=name)
    assert (json.loads(made["EventPattern"]), made["State"]) == ({"source": ["z"]}, "ENABLED")
    targets = eventbridge.list_targets_by_rule(Rule=rule_name, EventBusName=name)["Targets"]
    assert [read_target["Id"] for read_target in targets] == ["other"]
    (read,) = json.loads(eventbridge.describe_event_bus(Name=name)["Policy"])["Statement"]
    assert read["Condition"] == statement["Condition"]

    delete_stack(name)
    with pytest.raises(eventbridge.exceptions.ResourceNotFoundException):
        eventbridge.describe_event_bus(Name=name)
    with pytest.raises(eventbridge.exceptions.ResourceNotFoundException):
        eventbridge.describe_rule(Name=outputs["D"])


def test_topic_subscription_and_policy(deploy: Deploy, name: str) -> None:
    subscription = {
        "TopicArn": {"Ref": "T"},
        "Protocol": "sqs",
        "Endpoint": {"Fn::GetAtt": ["Q", "Arn"]},
        "RawMessageDelivery": True,
        "FilterPolicy": {"kind": ["a"]},
    }
    policy = {"Topics": [{"Ref": "T"}], "PolicyDocument": allow("sns:Publish", {"Ref": "T"}, "events.amazonaws.com")}
    resources = {
        "Q": {"Type": "AWS::SQS::Queue"},
        "T": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": name, "DisplayName": "d"}},
        "S": {"Type": "AWS::SNS::Subscription", "Properties": subscription},
        "P": {"Type": "AWS::SNS::TopicPolicy", "Properties": policy},
    }
    sns = client("sns")

    outputs = deploy(resources, attributes_of("T", "TopicName", "TopicArn") | {"S": {"Ref": "S"}})

    attributes = sns.get_topic_attributes(TopicArn=outputs["Ref"])["Attributes"]
    assert outputs["Ref"] == outputs["TopicArn"] == f"arn:aws:sns:eu-west-1:{ACCOUNT}:{name}"
    assert (outputs["TopicName"], attributes["DisplayName"]) == (name, "d")
    assert json.loads(attributes["Policy"])["Statement"][0]["Resource"] == outputs["Ref"]
    read = sns.get_subscription_attributes(SubscriptionArn=outputs["S"])["Attributes"]
    assert (read["RawMessageDelivery"], json.loads(read["FilterPolicy"])) == ("true", {"kind": ["a"]})

    subscription["FilterPolicy"] = {"kind": ["b"]}
    deploy(resources)

    read = sns.get_subscription_attributes(SubscriptionArn=outputs["S"])["Attributes"]
    assert json.loads(read["FilterPolicy"]) == {"kind": ["b"]}
    delete_stack(name)
    with pytest.raises(sns.exceptions.NotFoundException):
        sns.get_topic_attributes(TopicArn=outputs["Ref"])


def test_queue(deploy: Deploy, name: str) -> None:
    properties = {"MessageRetentionPeriod": 1209600, "SqsManagedSseEnabled": True, "VisibilityTimeout": "60"}
    sqs = client("sqs")

    def attributes(url: str) -> dict[str, str]:
        read: dict[str, str] = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        return read

    outputs = deploy(
        {"Q": {"Type": "AWS::SQS::Queue", "Properties": properties}}, attributes_of("Q", "Arn", "QueueName", "QueueUrl")
    )

    url = outputs["Ref"]
    assert outputs["QueueName"].startswith(f"{name}-Q-")
    assert (outputs["QueueUrl"], outputs["Arn"]) == (url, attributes(url)["QueueArn"])
    assert (attributes(url)["MessageRetentionPeriod"], attributes(url)["VisibilityTimeout"]) == ("1209600", "60")

    properties["MessageRetentionPeriod"] = 345600
    deploy({"Q": {"Type": "AWS::SQS::Queue", "Properties": properties}})
    assert attributes(url)["MessageRetentionPeriod"] == "345600"


def test_alarm_and_dashboard(deploy: Deploy, name: str) -> None:
    alarm = {
        "AlarmDescription": "d",
        "Namespace": "AWS/States",
        "MetricName": "ExecutionsFailed",
        "Dimensions": [{"Name": "StateMachineArn", "Value": "x"}],
        "Statistic": "Sum",
        "Period": "60",
        "EvaluationPeriods": 1,
        "Threshold": 1,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "TreatMissingData": "notBreaching",
        "AlarmActions": [f"arn:aws:sns:eu-west-1:{ACCOUNT}:t"],
    }
    dashboard = {"DashboardName": name, "DashboardBody": {"Fn::Sub": '{"widgets": [{"x": "${AWS::Region}"}]}'}}
    resources = {
        "A": {"Type": "AWS::CloudWatch::Alarm", "Properties": alarm},
        "D": {"Type": "AWS::CloudWatch::Dashboard", "Properties": dashboard},
    }
    cloudwatch = client("cloudwatch")

    outputs = deploy(resources, attributes_of("A", "Arn"))

    (read,) = cloudwatch.describe_alarms(AlarmNames=[outputs["Ref"]])["MetricAlarms"]
    assert outputs["Ref"].startswith(f"{name}-A-")
    assert outputs["Arn"] == read["AlarmArn"]
    assert (read["Period"], read["Threshold"], read["TreatMissingData"]) == (60, 1.0, "notBreaching")
    assert read["Dimensions"] == alarm["Dimensions"]
    body = json.loads(cloudwatch.get_dashboard(DashboardName=name)["DashboardBody"])
    assert body == {"widgets": [{"x": "eu-west-1"}]}

    alarm["Threshold"] = 5
    deploy(resources)
    assert cloudwatch.describe_alarms(AlarmNames=[outputs["Ref"]])["MetricAlarms"][0]["Threshold"] == 5.0
    delete_stack(name)
    assert cloudwatch.describe_alarms(AlarmNames=[outputs["Ref"]])["MetricAlarms"] == []
