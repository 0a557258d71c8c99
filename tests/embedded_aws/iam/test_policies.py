"""The evaluation of policy documents follows the examples in the IAM user guide."""

import json
from typing import Any

import pytest

from embedded_aws.iam import policies
from embedded_aws.iam.conditions import Context
from embedded_aws.iam.policies import Principal, Question

ACCOUNT = "123456789012"
ANA = Principal(f"arn:aws:iam::{ACCOUNT}:user/Ana", f"arn:aws:iam::{ACCOUNT}:user/Ana", ACCOUNT)
SESSION = Principal(f"arn:aws:iam::{ACCOUNT}:role/Ops", f"arn:aws:sts::{ACCOUNT}:assumed-role/Ops/eve", ACCOUNT)
EVENTS = Principal("events.amazonaws.com", service="events.amazonaws.com")
RULE = "arn:aws:events:eu-west-1:1:rule/bus/r"
BUCKET = "arn:aws:s3:::amzn-s3-demo-bucket"


def evaluated(
    statement: dict[str, Any],
    action: str = "s3:GetObject",
    resource: str = f"{BUCKET}/a/b.txt",
    context: Context | None = None,
    principal: Principal = ANA,
    of_resource: bool = False,
) -> policies.Answer:
    body = {"Effect": "Allow", "Action": "*", "Resource": "*"} | statement
    if "NotAction" in statement:
        del body["Action"]
    if "NotResource" in statement:
        del body["Resource"]
    statements = policies.parse(json.dumps({"Version": "2012-10-17", "Statement": [body]}), "policy")
    return policies.evaluate(statements, Question(principal, action, resource, context or {}), of_resource)


def allowed(statement: dict[str, Any], **about: Any) -> bool:
    return bool(evaluated(statement, **about).allowed)


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
def test_an_action_pattern_ignores_case_and_has_wildcards(statement: Any, action: str, answer: bool) -> None:
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
def test_a_resource_pattern_has_wildcards_and_variables(statement: Any, resource: str, answer: bool) -> None:
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
def test_a_resource_based_policy_names_principals(principal: Any, caller: Principal, answer: str | None) -> None:
    found = evaluated({"Principal": principal}, principal=caller, of_resource=True).allowed
    assert [match.whole_account for match in found] == ([] if answer is None else [answer == "account"])


def test_not_principal_denies_all_other_principals() -> None:
    deny = {"Effect": "Deny", "NotPrincipal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/Ana"}}
    assert not evaluated(deny, of_resource=True).denied
    assert evaluated(deny, principal=SESSION, of_resource=True).denied


def test_the_answer_has_the_matching_statements_actions_and_resources() -> None:
    document = {
        "Statement": [
            {"Sid": "Reads", "Effect": "Allow", "Action": ["s3:List*", "s3:Get*"], "Resource": ["x", f"{BUCKET}/*"]},
            {"Effect": "Deny", "Action": "s3:*", "Resource": f"{BUCKET}/a/*"},
        ]
    }
    statements = policies.parse(json.dumps(document), "policy")

    answer = policies.evaluate(statements, Question(ANA, "s3:GetObject", f"{BUCKET}/a/b", {}))

    assert [(str(m.statement), m.action, m.resource) for m in answer.allowed] == [
        ("policy[Reads]", "s3:Get*", f"{BUCKET}/*")
    ]
    assert [str(match.statement) for match in answer.denied] == ["policy[1]"]


@pytest.mark.parametrize(
    "document",
    [
        "not JSON",
        '{"Statement": [{"Effect": "Allow"}]}',
        '{"Statement": [{"Effect": "Permit", "Action": "*", "Resource": "*"}]}',
        '{"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*", "Conditions": {}}]}',
        '{"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": ["aws:username"]}]}',
        '{"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"Bool": "true"}}]}',
        "[]",
    ],
)
def test_an_invalid_policy_document_is_rejected(document: str) -> None:
    with pytest.raises(policies.PolicyError):
        policies.parse(document, "policy")


@pytest.mark.parametrize(
    ("version", "owner"), [("2012-10-17", "Ana"), ("2008-10-17", "${aws:username}"), ("", "${aws:username}")]
)
def test_variables_require_policy_version_2012_10_17(version: str, owner: str) -> None:
    document = {
        "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": f"{BUCKET}/${{aws:username}}/*"},
        **({"Version": version} if version else {}),
    }
    statements = policies.parse(json.dumps(document), f"policy of {version}")

    def allowed_to(name: str) -> bool:
        question = Question(ANA, "s3:GetObject", f"{BUCKET}/{name}/x", {"aws:username": "Ana"})
        return bool(policies.evaluate(statements, question).allowed)

    assert [name for name in ("Ana", "${aws:username}") if allowed_to(name)] == [owner]
