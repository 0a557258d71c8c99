"""Resources of S3, DynamoDB, CloudWatch Logs and Systems Manager, deployed by small templates."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws.services.cloudformation import deploy as cloudformation
from tests.embedded_aws.support.resource_stacks import ACCOUNT, Deploy, allow, attributes_of, client, delete_stack


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


def test_a_document_with_a_custom_name_cannot_be_replaced(deploy: Deploy, name: str) -> None:
    step = {"name": "wait", "action": "aws:sleep", "inputs": {"Duration": "PT1S"}}
    content = {"schemaVersion": "0.3", "mainSteps": [step]}
    properties: dict[str, Any] = {"Name": name, "DocumentType": "Automation", "Content": content}
    deploy({"D": {"Type": "AWS::SSM::Document", "Properties": properties}})

    properties["Content"] = content | {"description": "changed"}
    with pytest.raises(cloudformation.DeploymentError, match="custom-named resource requires replacing"):
        deploy({"D": {"Type": "AWS::SSM::Document", "Properties": properties}})


def test_resource_policy_of_a_table(deploy: Deploy, name: str) -> None:
    properties: dict[str, Any] = {
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}],
    }
    policy = allow("dynamodb:GetItem", "*", "lambda.amazonaws.com")
    dynamodb = client("dynamodb")

    def table(**changed: Any) -> str:
        resource = {"Type": "AWS::DynamoDB::Table", "Properties": properties | changed}
        return deploy({"T": resource}, attributes_of("T", "Arn"))["Arn"]

    arn = table(ResourcePolicy={"PolicyDocument": policy})
    assert json.loads(dynamodb.get_resource_policy(ResourceArn=arn)["Policy"]) == policy

    assert table() == arn
    with pytest.raises(ClientError, match="Resource-based policy not found"):
        dynamodb.get_resource_policy(ResourceArn=arn)
