"""Parameters that are encrypted with a KMS key."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws.aws import EmbeddedAws
from tests.embedded_aws.support.customers import QA, as_role, client, make_role

SSM = "ssm.eu-west-1.amazonaws.com"


def parameter_arn(name: str) -> str:
    return f"arn:aws:ssm:eu-west-1:{QA}:parameter/app/{name}"


def statement(action: str, resource: str, **condition: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, "Condition": condition}


@pytest.fixture
def secret(aws: EmbeddedAws, name: str) -> str:
    """A SecureString with a key of the customer, whose ARN is returned."""
    key = str(client("kms", QA).create_key()["KeyMetadata"]["Arn"])
    client("ssm", QA).put_parameter(Name=f"/app/{name}", Value="hush", Type="SecureString", KeyId=key)
    return key


def reader(name: str, *statements: dict[str, Any]) -> Any:
    """Return a client of a role that may get the parameter, with further statements in its policy."""
    role = make_role(name, QA, "ssm:GetParameter", "lambda.amazonaws.com")
    policy = {"Version": "2012-10-17", "Statement": [statement("ssm:GetParameter", parameter_arn(name)), *statements]}
    client("iam", QA).put_role_policy(RoleName=name, PolicyName="policy", PolicyDocument=json.dumps(policy))
    return as_role("ssm", role)


def value(ssm: Any, name: str, *, decrypted: bool = True) -> str:
    return str(ssm.get_parameter(Name=f"/app/{name}", WithDecryption=decrypted)["Parameter"]["Value"])


def test_a_secure_string_is_decrypted_with_the_permission_for_its_key(secret: str, name: str) -> None:
    conditions = {"kms:ViaService": SSM, "kms:EncryptionContext:PARAMETER_ARN": parameter_arn(name)}

    assert value(reader(name, statement("kms:Decrypt", secret, StringEquals=conditions)), name) == "hush"


@pytest.mark.parametrize(
    "conditions",
    [
        None,
        {"kms:ViaService": "s3.eu-west-1.amazonaws.com"},
        {"kms:EncryptionContext:PARAMETER_ARN": "arn:aws:ssm:eu-west-1:222222222222:parameter/app/another"},
    ],
)
def test_without_the_permission_only_the_ciphertext_is_read(
    secret: str, name: str, conditions: dict[str, str] | None
) -> None:
    statements = [] if conditions is None else [statement("kms:Decrypt", secret, StringEquals=conditions)]
    ssm = reader(name, *statements)

    with pytest.raises(ClientError, match=r"AccessDeniedException.*kms:Decrypt"):
        value(ssm, name)
    assert value(ssm, name, decrypted=False) != "hush"


def test_the_managed_key_needs_no_permission_of_its_own(aws: EmbeddedAws, name: str) -> None:
    client("ssm", QA).put_parameter(Name=f"/app/{name}", Value="hush", Type="SecureString")

    assert value(reader(name), name) == "hush"


def test_writing_a_secure_string_requires_the_key(secret: str, name: str) -> None:
    put = statement("ssm:PutParameter", parameter_arn(name))
    request = {"Name": f"/app/{name}", "Value": "new", "Overwrite": True, "Type": "SecureString", "KeyId": secret}
    refused = reader(name, put)

    with pytest.raises(ClientError, match="kms:Encrypt"):
        refused.put_parameter(**request)
    with pytest.raises(ClientError, match="kms:GenerateDataKey"):
        refused.put_parameter(**request, Tier="Advanced")
    assert value(client("ssm", QA), name) == "hush"
