"""The report compares the grants in policies with their use."""

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws import permissions_report
from embedded_aws.iam import decisions
from embedded_aws.permissions_report import Grant, Use
from embedded_aws.services.cloudformation.resource_types import TYPES
from tests.embedded_aws.support.customers import QA, as_role, client


def made(kind: str, properties: dict[str, Any], **attributes: Any) -> Any:
    """Return an existing resource of a stack."""
    resource = TYPES[kind]("stack", QA, "eu-west-1", "Logical", properties)
    resource.set_identity("physical", **attributes)
    return resource


MakeRole = Callable[[str], str]


@pytest.fixture
def make_role(aws: Any) -> MakeRole:
    """Create a role for functions, without a policy."""
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": trust})

    def make(name: str) -> str:
        arn = client("iam", QA).create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
        return str(arn)

    return make


@pytest.fixture
def role(make_role: MakeRole, name: str) -> str:
    reads = {"Sid": "Reads", "Effect": "Allow", "Action": ["ssm:GetParameter", "ssm:PutParameter"], "Resource": "*"}
    writes = {"Effect": "Allow", "Action": "ssm:PutParameter", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [reads, writes]})
    arn = make_role(name)
    client("iam", QA).put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=document)
    return arn


def test_the_grants_of_a_role_include_its_trust_policy(role: str) -> None:
    assert permissions_report.granted(made("AWS::IAM::Role", {}, Arn=role)) == {
        Grant(role, "0", "sts:AssumeRole", "*"),
        Grant(f"{role} own", "Reads", "ssm:GetParameter", "*"),
        Grant(f"{role} own", "Reads", "ssm:PutParameter", "*"),
        Grant(f"{role} own", "1", "ssm:PutParameter", "*"),
    }


def test_a_managed_policy_has_separate_grants_for_each_role(make_role: MakeRole, name: str) -> None:
    statement = {"Effect": "Allow", "Action": "ssm:GetParameter", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": statement})
    shared = client("iam", QA).create_policy(PolicyName=name, PolicyDocument=document)["Policy"]["Arn"]
    user, idler = make_role(f"{name}-user"), make_role(f"{name}-idler")
    for arn in (user, idler):
        client("iam", QA).attach_role_policy(RoleName=arn.rpartition("/")[2], PolicyArn=shared)
    client("ssm", QA).put_parameter(Name=name, Value="x", Type="String")
    use = Use()

    with decisions.watched(use.see):
        as_role("ssm", user).get_parameter(Name=name)

    used, idle = (Grant(f"{arn} {shared}", "0", "ssm:GetParameter", "*") for arn in (user, idler))
    for arn, grant in ((user, used), (idler, idle)):
        assert grant in permissions_report.granted(made("AWS::IAM::Role", {}, Arn=arn))
    assert (use.calls[used], use.calls[idle]) == (1, 0)
    assert [refusal.principal for refusal in use.missed_by[used].values()] == [user]
    assert idle not in use.missed_by


def test_the_grants_of_a_bucket_policy_are_those_of_its_bucket(aws: Any, name: str) -> None:
    s3 = client("s3", QA)
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    resource = f"arn:aws:s3:::{name}/*"
    statements = [
        {"Effect": effect, "Principal": "*", "Action": "s3:GetObject", "Resource": resource}
        for effect in ("Allow", "Deny")
    ]
    s3.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": statements}))

    granted = permissions_report.granted(made("AWS::S3::BucketPolicy", {"Bucket": name}))

    assert granted == {Grant(f"arn:aws:s3:::{name}", "0", "s3:GetObject", resource)}


def test_calls_are_counted_and_required_grants_are_reported(role: str, name: str) -> None:
    use = Use(excluded_sessions=["trying"])
    client("ssm", QA).put_parameter(Name=name, Value="x", Type="String")

    with decisions.watched(use.see):
        for session in ("working", "working", "trying"):
            ssm = as_role("ssm", role, session)
            ssm.get_parameter(Name=name)
            ssm.put_parameter(Name=name, Value="y", Type="String", Overwrite=True)
            with contextlib.suppress(ClientError):
                ssm.delete_parameter(Name=name)

    own = f"{role} own"
    reads, writes = Grant(own, "Reads", "ssm:GetParameter", "*"), Grant(own, "Reads", "ssm:PutParameter", "*")
    assert (use.calls[reads], use.calls[writes], use.calls[Grant(own, "1", "ssm:PutParameter", "*")]) == (2, 2, 2)
    assert [refusal.action for refusal in use.missed_by[reads].values()] == ["ssm:GetParameter"]
    assert use.missed_by[writes] == {}
    assert [(refusal.action, calls) for refusal, calls in use.denied.items() if refusal.principal == role] == [
        ("ssm:DeleteParameter", 2)
    ]
