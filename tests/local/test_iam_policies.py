"""Policy documents are evaluated as the IAM user guide's own examples say."""

import json
import logging
from typing import Any

import pytest

from local import iam_policies
from local.iam_conditions import Context
from local.iam_policies import Principal, Question

ACCOUNT = "123456789012"
ANA = Principal(f"arn:aws:iam::{ACCOUNT}:user/Ana", f"arn:aws:iam::{ACCOUNT}:user/Ana", ACCOUNT)
SESSION = Principal(f"arn:aws:iam::{ACCOUNT}:role/Ops", f"arn:aws:sts::{ACCOUNT}:assumed-role/Ops/eve", ACCOUNT)
EVENTS = Principal("events.amazonaws.com", service="events.amazonaws.com")
RULE = "arn:aws:events:eu-west-1:1:rule/bus/r"
BUCKET = "arn:aws:s3:::amzn-s3-demo-bucket"


def asked(
    statement: dict[str, Any],
    action: str = "s3:GetObject",
    resource: str = f"{BUCKET}/a/b.txt",
    context: Context | None = None,
    principal: Principal = ANA,
    of_resource: bool = False,
) -> iam_policies.Answer:
    body = {"Effect": "Allow", "Action": "*", "Resource": "*"} | statement
    if "NotAction" in statement:
        del body["Action"]
    if "NotResource" in statement:
        del body["Resource"]
    statements = iam_policies.parse(json.dumps({"Version": "2012-10-17", "Statement": [body]}), "policy")
    return iam_policies.evaluate(statements, Question(principal, action, resource, context or {}), of_resource)


def allowed(statement: dict[str, Any], **about: Any) -> bool:
    return bool(asked(statement, **about).allowed)


@pytest.mark.parametrize(
    ("statement", "action", "answer"),
    [
        ({"Action": "s3:GetObject"}, "s3:GetObject", True),
        ({"Action": "S3:getobject"}, "s3:GetObject", True),
        ({"Action": "s3:Get*"}, "s3:GetObject", True),
        ({"Action": "s3:Get????ct"}, "s3:GetObject", True),
        ({"Action": ["iam:*AccessKey*", "s3:PutObject"]}, "iam:ListAccessKeys", True),
        ({"Action": "s3:Get"}, "s3:GetObject", False),
        ({"Action": "s3.GetObject"}, "s3:GetObject", False),
        ({"NotAction": "iam:*"}, "s3:GetObject", True),
        ({"NotAction": ["iam:*", "s3:*"]}, "s3:GetObject", False),
    ],
)
def test_an_action_is_named_in_any_case_and_with_wildcards(statement: Any, action: str, answer: bool) -> None:
    assert allowed(statement, action=action) is answer


@pytest.mark.parametrize(
    ("statement", "resource", "answer"),
    [
        ({"Resource": f"{BUCKET}/*"}, f"{BUCKET}/a/b.txt", True),
        ({"Resource": BUCKET}, f"{BUCKET}/a/b.txt", False),
        ({"Resource": f"{BUCKET}/*"}, BUCKET, False),
        ({"Resource": f"{BUCKET}/A/*"}, f"{BUCKET}/a/b.txt", False),
        ({"Resource": f"{BUCKET}/?/b.txt"}, f"{BUCKET}/a/b.txt", True),
        ({"Resource": "arn:aws:sqs:*:123456789012:queue1"}, "arn:aws:sqs:eu-west-1:123456789012:queue1", True),
        ({"Resource": "arn:aws:sqs:*:queue1"}, "arn:aws:sqs:eu-west-1:123456789012:queue1", True),
        ({"Resource": "arn:aws:sqs:*:123456789012:q"}, "arn:aws:sqs:eu-west-1:999999999999:123456789012:q", False),
        ({"Resource": "arn:aws:s3:::b/${aws:username}/*"}, "arn:aws:s3:::b/Ana/x", True),
        ({"Resource": "arn:aws:s3:::b/${aws:username}/*"}, "arn:aws:s3:::b/Bob/x", False),
        ({"Resource": "arn:aws:s3:::b/${aws:PrincipalTag/team, 'company-wide'}/*"}, "arn:aws:s3:::b/blue/x", True),
        ({"Resource": "arn:aws:s3:::b/${aws:federatedprovider, 'none'}/*"}, "arn:aws:s3:::b/none/x", True),
        ({"Resource": "arn:aws:s3:::b/${aws:federatedprovider}/*"}, "arn:aws:s3:::b//x", False),
        ({"Resource": "arn:aws:s3:::b/${*}/x"}, "arn:aws:s3:::b/anything/x", False),
        ({"Resource": "arn:aws:s3:::b/${*}/x"}, "arn:aws:s3:::b/*/x", True),
        ({"NotResource": f"{BUCKET}/private/*"}, f"{BUCKET}/a/b.txt", True),
        ({"NotResource": f"{BUCKET}/a/*"}, f"{BUCKET}/a/b.txt", False),
    ],
)
def test_a_resource_is_named_with_wildcards_and_variables(statement: Any, resource: str, answer: bool) -> None:
    context = {"aws:username": "Ana", "aws:principaltag/team": "blue", "aws:federatedprovider": None}
    assert allowed(statement, resource=resource, context=context) is answer


@pytest.mark.parametrize(
    ("principal", "caller", "answer"),
    [
        ("*", ANA, "itself"),
        ({"AWS": "*"}, SESSION, "itself"),
        ({"AWS": ACCOUNT}, ANA, "account"),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, SESSION, "account"),
        ({"AWS": "arn:aws:iam::999999999999:root"}, ANA, None),
        ({"AWS": [f"arn:aws:iam::{ACCOUNT}:user/Bob", f"arn:aws:iam::{ACCOUNT}:user/Ana"]}, ANA, "itself"),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:role/Ops"}, SESSION, "itself"),
        ({"AWS": f"arn:aws:sts::{ACCOUNT}:assumed-role/Ops/eve"}, SESSION, "itself"),
        ({"AWS": f"arn:aws:sts::{ACCOUNT}:assumed-role/Ops/bob"}, SESSION, None),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:role/*"}, SESSION, None),
        ({"Service": "events.amazonaws.com"}, EVENTS, "itself"),
        ({"Service": ["sns.amazonaws.com", "events.amazonaws.com"]}, EVENTS, "itself"),
        ({"Service": "sns.amazonaws.com"}, EVENTS, None),
        ({"Service": "events.amazonaws.com"}, ANA, None),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, EVENTS, None),
    ],
)
def test_a_resources_policy_names_its_callers(principal: Any, caller: Principal, answer: str | None) -> None:
    found = asked({"Principal": principal}, principal=caller, of_resource=True).allowed
    assert [match.whole_account for match in found] == ([] if answer is None else [answer == "account"])


def test_all_but_those_named_are_denied() -> None:
    deny = {"Effect": "Deny", "NotPrincipal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/Ana"}}
    assert not asked(deny, of_resource=True).denied
    assert asked(deny, principal=SESSION, of_resource=True).denied


@pytest.mark.parametrize(
    ("condition", "context", "answer"),
    [
        ({"StringEquals": {"aws:PrincipalTag/job": "iamuser-admin"}}, {"aws:principaltag/job": "iamuser-admin"}, True),
        ({"StringEquals": {"k": "admin"}}, {"k": "Admin"}, False),
        ({"StringEquals": {"k": "a*"}}, {"k": "abc"}, False),
        ({"StringEquals": {"k": ["a", "b"]}}, {"k": "b"}, True),
        ({"StringEquals": {"k": "a"}}, {"k": None}, False),
        ({"StringNotEquals": {"k": ["a", "b"]}}, {"k": "b"}, False),
        ({"StringNotEquals": {"k": ["a", "b"]}}, {"k": "c"}, True),
        ({"StringNotEquals": {"k": "a"}}, {"k": None}, True),
        ({"StringEqualsIgnoreCase": {"k": "ADMIN"}}, {"k": "admin"}, True),
        ({"StringNotEqualsIgnoreCase": {"k": "ADMIN"}}, {"k": "admin"}, False),
        ({"StringLike": {"s3:prefix": ["", "home/", "home/${aws:username}/*"]}}, {"s3:prefix": "home/Ana/x"}, True),
        ({"StringLike": {"s3:prefix": ["", "home/", "home/${aws:username}/*"]}}, {"s3:prefix": "home/Bob/x"}, False),
        ({"StringLike": {"s3:prefix": ["", "home/"]}}, {"s3:prefix": ""}, True),
        ({"StringNotLike": {"k": "a*"}}, {"k": "abc"}, False),
        ({"StringEquals": {"k": "${aws:username}"}}, {"k": "Ana"}, True),
        ({"NumericLessThanEquals": {"s3:max-keys": "10"}}, {"s3:max-keys": "10"}, True),
        ({"NumericLessThanEquals": {"s3:max-keys": 10}}, {"s3:max-keys": "11"}, False),
        ({"NumericEquals": {"k": "2"}}, {"k": "2.0"}, True),
        ({"NumericNotEquals": {"k": "2"}}, {"k": "3"}, True),
        ({"NumericGreaterThan": {"k": "2"}}, {"k": "2"}, False),
        ({"DateGreaterThan": {"aws:CurrentTime": "2020-04-01T00:00:00Z"}}, {"aws:currenttime": "2020-05-01"}, True),
        ({"DateLessThan": {"aws:CurrentTime": "2020-06-30T23:59:59Z"}}, {"aws:currenttime": "2020-07-01"}, False),
        ({"DateEquals": {"k": "1577836800"}}, {"k": "2020-01-01T00:00:00Z"}, True),
        ({"Bool": {"aws:SecureTransport": "false"}}, {"aws:securetransport": "true"}, False),
        ({"Bool": {"aws:SecureTransport": True}}, {"aws:securetransport": "true"}, True),
        ({"BinaryEquals": {"k": "QmluYXJ5VmFsdWVJbkJhc2U2NA=="}}, {"k": "QmluYXJ5VmFsdWVJbkJhc2U2NA=="}, True),
        ({"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}, {"aws:sourceip": "203.0.113.77"}, True),
        ({"IpAddress": {"aws:SourceIp": "2001:DB8:1234:5678::/64"}}, {"aws:sourceip": "2001:db8:1234:5678::1"}, True),
        ({"NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}}, {"aws:sourceip": "203.0.113.77"}, False),
        ({"ArnEquals": {"aws:SourceArn": "arn:aws:sns:r:1:TOPIC"}}, {"aws:sourcearn": "arn:aws:sns:r:1:TOPIC"}, True),
        ({"ArnLike": {"aws:SourceArn": "arn:aws:events:*:*:rule/b*"}}, {"aws:sourcearn": RULE}, True),
        ({"ArnLike": {"aws:SourceArn": "arn:aws:events:*:rule/b*"}}, {"aws:sourcearn": RULE}, False),
        ({"ArnNotLike": {"aws:SourceArn": "arn:aws:sns:*:*:*"}}, {"aws:sourcearn": "arn:aws:sqs:x:1:q"}, True),
        ({"Null": {"aws:MultiFactorAuthAge": "true"}}, {"aws:multifactorauthage": None}, True),
        ({"Null": {"aws:MultiFactorAuthAge": "false"}}, {"aws:multifactorauthage": None}, False),
        ({"Null": {"k": "false"}}, {"k": "x"}, True),
        ({"StringLikeIfExists": {"ec2:InstanceType": ["t1.*", "t2.*"]}}, {"ec2:instancetype": None}, True),
        ({"StringLikeIfExists": {"ec2:InstanceType": ["t1.*", "t2.*"]}}, {"ec2:instancetype": "m3.large"}, False),
        ({"ForAllValues:StringEquals": {"aws:TagKeys": ["environment", "x"]}}, {"aws:tagkeys": ["environment"]}, True),
        ({"ForAllValues:StringEquals": {"aws:TagKeys": ["environment"]}}, {"aws:tagkeys": ["environment", "x"]}, False),
        ({"ForAllValues:StringEquals": {"aws:TagKeys": ["environment"]}}, {"aws:tagkeys": []}, True),
        ({"ForAnyValue:StringEquals": {"aws:TagKeys": ["environment"]}}, {"aws:tagkeys": ["environment", "x"]}, True),
        ({"ForAnyValue:StringEquals": {"aws:TagKeys": ["environment"]}}, {"aws:tagkeys": None}, False),
        ({"ForAnyValue:StringNotEquals": {"aws:TagKeys": ["a"]}}, {"aws:tagkeys": ["a", "b"]}, True),
        ({"ForAllValues:StringNotEquals": {"aws:TagKeys": ["a"]}}, {"aws:tagkeys": ["a", "b"]}, False),
        ({"StringEquals": {"a": "1"}, "Bool": {"b": "true"}}, {"a": "1", "b": "false"}, False),
        ({"StringEquals": {"a": "1", "b": "2"}}, {"a": "1", "b": "2"}, True),
    ],
)  # fmt: skip
def test_a_condition_holds_as_documented(condition: Any, context: Any, answer: bool) -> None:
    context = {"aws:username": "Ana", **context}
    assert allowed({"Condition": condition}, context=context) is answer


@pytest.mark.parametrize(
    "condition",
    [
        {"StringSimilar": {"k": "a"}},
        {"SomeValue:StringEquals": {"k": "a"}},
        {"StringEquals": {"aws:NobodyKnows": "a"}},
        {"StringNotEquals": {"aws:NobodyKnows": "a"}},
        {"StringEqualsIfExists": {"aws:NobodyKnows": "a"}},
        {"StringEquals": {"aws:TagKeys": "a"}},
        {"NumericEquals": {"k": "many"}},
        {"StringEquals": {"k": "${aws:NobodyKnows}"}},
    ],
)
def test_what_cannot_be_judged_is_refused_and_said(condition: Any, caplog: pytest.LogCaptureFixture) -> None:
    context: Context = {"k": "a", "aws:tagkeys": ["a"]}
    with caplog.at_level(logging.WARNING):
        assert not asked({"Condition": condition}, context=context).allowed
        assert asked({"Effect": "Deny", "Condition": condition}, context=context).denied
    assert "policy[0] counts against s3:GetObject" in caplog.text


def test_the_answer_names_the_statements_and_what_of_them_matched() -> None:
    document = {
        "Statement": [
            {"Sid": "Reads", "Effect": "Allow", "Action": ["s3:List*", "s3:Get*"], "Resource": ["x", f"{BUCKET}/*"]},
            {"Effect": "Deny", "Action": "s3:*", "Resource": f"{BUCKET}/a/*"},
        ]
    }
    statements = iam_policies.parse(json.dumps(document), "policy")

    answer = iam_policies.evaluate(statements, Question(ANA, "s3:GetObject", f"{BUCKET}/a/b", {}))

    assert [(str(m.statement), m.action, m.resource) for m in answer.allowed] == [
        ("policy[Reads]", "s3:Get*", f"{BUCKET}/*")
    ]
    assert [str(match.statement) for match in answer.denied] == ["policy[1]"]


@pytest.mark.parametrize(
    "document",
    [
        "no JSON",
        '{"Statement": [{"Effect": "Allow"}]}',
        '{"Statement": [{"Effect": "Permit", "Action": "*", "Resource": "*"}]}',
        '{"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*", "Conditions": {}}]}',
    ],
)
def test_a_document_that_is_no_policy_is_none(document: str) -> None:
    with pytest.raises(iam_policies.PolicyError):
        iam_policies.parse(document, "policy")
