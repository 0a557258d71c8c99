"""Conditions follow the examples in the IAM user guide, and one that cannot be evaluated does not allow anything.

Each test names its page or section under https://docs.aws.amazon.com/IAM/latest/UserGuide/.
"""

import json
import logging
from typing import Any

import pytest

from embedded_aws.iam import policies
from embedded_aws.iam.conditions import Context
from embedded_aws.iam.policies import Principal, Question

USER = "arn:aws:iam::111122223333:user/johndoe"
FINANCE = "arn:aws:someservice:us-east-2:999999999999:store/abc:111122223333:finance/document.txt"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:TOPIC-ID"


def evaluated(condition: Any, context: Context, effect: str = "Allow") -> policies.Answer:
    """Evaluate a statement with the condition for a call with the context."""
    body = {"Effect": effect, "Action": "*", "Resource": "*", "Condition": condition}
    statements = policies.parse(json.dumps({"Version": "2012-10-17", "Statement": [body]}), "policy")
    question = Question(Principal(USER, USER, "111122223333"), "s3:ListBucket", "arn:aws:s3:::b", context)
    return policies.evaluate(statements, question)


def holds(condition: Any, context: Context) -> bool:
    return bool(evaluated(condition, context).allowed)


def holding(condition: Any, key: str, *values: Any) -> list[Any]:
    """Return the values of a key with which a condition is true. None is a call without the key."""
    return [value for value in values if holds(condition, {key.lower(): value})]


def test_string_operators() -> None:
    """reference_policies_elements_condition_operators, "String condition operators"."""
    key = "aws:PrincipalTag/job-category"
    values = ("iamuser-admin", "IAMUser-Admin", "iamuser-admin-2", None)

    assert holding({"StringEquals": {key: "iamuser-admin"}}, key, *values) == ["iamuser-admin"]
    assert holding({"StringNotEquals": {key: "iamuser-admin"}}, key, *values) == [*values[1:]]
    assert holding({"StringEqualsIgnoreCase": {key: "iamuser-ADMIN"}}, key, *values) == [*values[:2]]
    assert holding({"StringNotEqualsIgnoreCase": {key: "iamuser-ADMIN"}}, key, *values) == [*values[2:]]
    assert holding({"StringLike": {key: "iamuser-*"}}, key, *values) == ["iamuser-admin", "iamuser-admin-2"]
    assert holding({"StringLike": {key: "iamuser-admin-?"}}, key, *values) == ["iamuser-admin-2"]
    assert holding({"StringNotLike": {key: "iamuser-*"}}, key, *values) == ["IAMUser-Admin", None]
    assert holding({"StringEquals": {key: "iamuser-*"}}, key, *values) == []


def test_a_home_directory_by_a_variable() -> None:
    """The same section, the example with StringLike and an empty prefix."""
    condition = {"StringLike": {"s3:prefix": ["", "home/", "home/${aws:username}/"]}}
    prefixes = ("", "home/", "home/johndoe/", "home/another/", "home/johndoe/x", None)

    found = [p for p in prefixes if holds(condition, {"s3:prefix": p, "aws:username": "johndoe"})]

    assert found == ["", "home/", "home/johndoe/"]


@pytest.mark.parametrize(
    ("operator", "held"),
    [
        ("NumericEquals", ["10", "10.0"]),
        ("NumericNotEquals", ["9", "11", None]),
        ("NumericLessThan", ["9"]),
        ("NumericLessThanEquals", ["9", "10", "10.0"]),
        ("NumericGreaterThan", ["11"]),
        ("NumericGreaterThanEquals", ["10", "10.0", "11"]),
    ],
)
def test_numeric_operators(operator: str, held: list[Any]) -> None:
    """The same page, "Numeric condition operators": at most ten objects, and a missing key."""
    for ten in ("10", 10):
        assert holding({operator: {"s3:max-keys": ten}}, "s3:max-keys", "9", "10", "10.0", "11", None) == held


@pytest.mark.parametrize(
    ("operator", "held"),
    [
        ("DateEquals", ["now", "epoch"]),
        ("DateNotEquals", ["before", "after", None]),
        ("DateLessThan", ["before"]),
        ("DateLessThanEquals", ["before", "now", "epoch"]),
        ("DateGreaterThan", ["after"]),
        ("DateGreaterThanEquals", ["now", "epoch", "after"]),
    ],
)
def test_date_operators(operator: str, held: list[Any]) -> None:
    """The same page, "Date condition operators": ISO 8601 or seconds since 1970, in the policy and in the call."""
    times = {
        "before": "2020-01-01T00:00:00Z",
        "now": "2020-01-01T00:00:01Z",
        "epoch": "1577836801",
        "after": "2020-01-01T02:00:00+01:00",
        None: None,
    }
    for now in ("2020-01-01T00:00:01Z", "1577836801"):
        condition = {operator: {"aws:TokenIssueTime": now}}
        assert [name for name, time in times.items() if holds(condition, {"aws:tokenissuetime": time})] == held


def test_boolean_operator() -> None:
    """The same page, "Boolean condition operators"."""
    for false in ("false", False, "False"):
        condition = {"Bool": {"aws:SecureTransport": false}}
        assert holding(condition, "aws:SecureTransport", "true", "false", None) == ["false"]


def test_binary_operator() -> None:
    """The same page, "Binary condition operators"."""
    condition = {"BinaryEquals": {"key": "QmluYXJ5VmFsdWVJbkJhc2U2NA=="}}
    values = ("QmluYXJ5VmFsdWVJbkJhc2U2NA==", "QmluYXJ5", None)

    assert holding(condition, "key", *values) == ["QmluYXJ5VmFsdWVJbkJhc2U2NA=="]


def test_ip_address_operators() -> None:
    """The same page, "IP address condition operators": an address without a prefix length matches only itself."""
    ours = ["203.0.113.0/24", "2001:DB8:1234:5678::/64"]
    values = ("203.0.113.0", "203.0.113.255", "203.0.114.0", "2001:db8:1234:5678::1", "2001:db8:1234:5679::1", None)
    inside, outside = [values[0], values[1], values[3]], [values[2], values[4], None]

    assert holding({"IpAddress": {"aws:SourceIp": ours}}, "aws:SourceIp", *values) == inside
    assert holding({"NotIpAddress": {"aws:SourceIp": ours}}, "aws:SourceIp", *values) == outside
    assert holding({"IpAddress": {"aws:SourceIp": "203.0.113.0"}}, "aws:SourceIp", *values) == ["203.0.113.0"]


def test_arn_operators() -> None:
    """The same page, "ARN condition operators": the parts between colons are compared one by one."""
    pattern = "arn:aws:someservice:*:111122223333:finance/*"

    assert holds({"StringLike": {"aws:SourceArn": pattern}}, {"aws:sourcearn": FINANCE})
    for like, unlike in (("ArnLike", "ArnNotLike"), ("ArnEquals", "ArnNotEquals")):
        assert not holds({like: {"aws:SourceArn": pattern}}, {"aws:sourcearn": FINANCE})
        assert holds({unlike: {"aws:SourceArn": pattern}}, {"aws:sourcearn": FINANCE})
        assert holding({like: {"aws:SourceArn": TOPIC}}, "aws:SourceArn", TOPIC, f"{TOPIC}2", None) == [TOPIC]
        assert holding({like: {"aws:SourceArn": f"{TOPIC}?"}}, "aws:SourceArn", TOPIC, f"{TOPIC}2") == [f"{TOPIC}2"]
        # The key is missing if a service does not act for a resource.
        assert holding({unlike: {"aws:SourceArn": TOPIC}}, "aws:SourceArn", TOPIC, f"{TOPIC}2", None) == [
            f"{TOPIC}2",
            None,
        ]


def test_variables_in_arns() -> None:
    """The same section: "you can use a policy variable with the ARN condition operator"."""
    context: Context = {
        "aws:username": "john*",
        "aws:principalaccount": "1",
        "aws:sourcearn": "arn:aws:sns:r:1:john*-x",
    }

    for pattern, matches in (
        ("arn:aws:sns:*:*:${aws:username}-*", True),
        ("arn:aws:sns:*:${aws:PrincipalAccount}:*", True),
        ("${aws:SourceArn}", True),
        ("arn:aws:sns:*:${aws:username}:*", False),
        ("arn:aws:sns:r:1:${aws:username}x", False),
    ):
        assert holds({"ArnLike": {"aws:SourceArn": pattern}}, context) is matches


def test_if_exists() -> None:
    """The same page, "...IfExists condition operators"."""
    sizes = {"StringLikeIfExists": {"ec2:InstanceType": ["t1.*", "t2.*", "m3.*"]}}

    assert holding(sizes, "ec2:InstanceType", "t2.micro", "m3.large", "c5.large", None) == [
        "t2.micro",
        "m3.large",
        None,
    ]
    # "The request is still denied even if the tag is missing."
    unless = {"StringNotEqualsIfExists": {"aws:PrincipalTag/team": "blue"}}
    assert evaluated(unless, {"aws:principaltag/team": None}, "Deny").denied
    assert not evaluated(unless, {"aws:principaltag/team": "blue"}, "Deny").denied


def test_existence() -> None:
    """The same page, "Condition operator to check existence of condition keys"."""
    key = "aws:TokenIssueTime"

    assert holding({"Null": {key: "true"}}, key, "2020-01-01T00:00:01Z", None) == [None]
    assert holding({"Null": {key: "false"}}, key, "2020-01-01T00:00:01Z", None) == ["2020-01-01T00:00:01Z"]
    assert holding({"Null": {key: True}}, key, "2020-01-01T00:00:01Z", None) == [None]


@pytest.mark.parametrize(
    ("changed", "allowed"),
    [
        ({}, True),
        ({"aws:principaltag/department": "hr"}, True),
        ({"aws:principaltag/department": "sales"}, False),
        ({"aws:principaltag/role": "manager"}, False),
        ({"aws:sourceip": "203.0.114.1"}, False),
        ({"aws:principaltag/role": None}, False),
    ],
)
def test_several_operators_keys_and_values(changed: dict[str, Any], allowed: bool) -> None:
    """reference_policies_condition-logic-multiple-context-keys-or-values: AND of operators and keys, OR of values."""
    condition = {
        "StringEquals": {"aws:PrincipalTag/department": ["finance", "hr", "legal"], "aws:PrincipalTag/role": "audit"},
        "IpAddress": {"aws:SourceIp": "203.0.113.0/24"},
    }
    context = {
        "aws:principaltag/department": "finance",
        "aws:principaltag/role": "audit",
        "aws:sourceip": "203.0.113.7",
    }

    assert holds(condition, context | changed) is allowed


def test_values_of_a_negated_operator() -> None:
    """The same page, "negated matching condition operators": NOR of values."""
    condition = {"StringNotEquals": {"aws:PrincipalTag/department": ["finance", "hr"]}}

    assert holding(condition, "aws:PrincipalTag/department", "finance", "hr", "legal", None) == ["legal", None]


@pytest.mark.parametrize(
    ("tags", "for_all", "for_any"),
    [
        (["environment", "cost-center"], True, True),
        (["environment"], True, True),
        (["environment", "Environment"], False, True),
        (["Environment"], False, False),
        ([], True, False),
        ("", True, False),
        ([""], True, False),
        (None, True, False),
    ],
)
def test_set_operators(tags: Any, for_all: bool, for_any: bool) -> None:
    """reference_policies_condition-single-vs-multi-valued-context-keys, with and without tags."""
    wanted = {"aws:TagKeys": ["environment", "cost-center"]}

    assert holds({"ForAllValues:StringEquals": wanted}, {"aws:tagkeys": tags}) is for_all
    assert holds({"ForAnyValue:StringEquals": wanted}, {"aws:tagkeys": tags}) is for_any


@pytest.mark.parametrize(
    ("attributes", "read", "kept"),
    [
        (["PostDateTime", "Message"], True, True),
        (["PostDateTime", "UserName"], False, True),
        (["ID", "Message"], False, True),
        (["UserName"], False, False),
        (["PostDateTime", "Message", "Tags"], True, True),
    ],
)
def test_attributes_of_a_table(attributes: list[str], read: bool, kept: bool) -> None:
    """The previous version of the page, "Examples of condition set operators": readable and protected attributes."""
    readable = {"ForAllValues:StringLike": {"dynamodb:requestedAttributes": ["PostDateTime", "Message", "Tags"]}}
    protected = {"ForAnyValue:StringLike": {"dynamodb:requestedAttributes": ["ID", "PostDateTime"]}}
    context = {"dynamodb:requestedattributes": attributes}

    assert holds(readable, context) is read
    assert bool(evaluated(protected, context, "Deny").denied) is kept


def test_the_documented_deny_of_other_tags() -> None:
    """reference_policies_condition_examples-multi-valued-context-keys: the key must exist, without these values."""
    condition = {"ForAllValues:StringNotEquals": {"aws:TagKeys": ["test", "prod"]}, "Null": {"aws:TagKeys": "false"}}

    assert [
        tags for tags in (["test"], ["other"], ["test", "other"], None) if holds(condition, {"aws:tagkeys": tags})
    ] == [["other"]]


def test_variables() -> None:
    """reference_policies_variables: special characters, default values, and names that are not case-sensitive."""
    context: Context = {"aws:username": "johndoe", "aws:principaltag/team": None, "k": "a*b"}

    assert holds({"StringEquals": {"k": "a${*}b"}}, context)
    assert holds({"StringLike": {"k": "a${*}b"}}, context)
    assert not holds({"StringLike": {"k": "a${?}b"}}, context)
    assert holds({"StringEquals": {"k": "company-${AWS:UserName}"}}, {**context, "k": "company-johndoe"})
    by_team = {"StringEquals": {"k": "${aws:PrincipalTag/team, 'company-wide'}"}}
    assert holds(by_team, {**context, "k": "company-wide"})
    # "Any attempt to match it fails and causes the statement to be invalid."
    for operator in ("StringEquals", "StringNotEquals", "StringLike", "ArnNotLike"):
        assert not holds({operator: {"k": "${aws:PrincipalTag/team}"}}, context)


@pytest.mark.parametrize(
    "condition",
    [
        {"StringSimilar": {"k": "a"}},
        {"SomeValue:StringEquals": {"k": "a"}},
        {":StringEquals": {"k": "a"}},
        {"ForAllValues:Null": {"k": "true"}},
        {"NullIfExists": {"k": "true"}},
        {"Null": {"k": "maybe"}},
        {"StringEquals": {"aws:NobodyKnows": "a"}},
        {"StringNotEquals": {"aws:NobodyKnows": "a"}},
        {"StringEqualsIfExists": {"aws:NobodyKnows": "a"}},
        {"Null": {"aws:NobodyKnows": "true"}},
        {"StringEquals": {"aws:TagKeys": "a"}},
        {"StringEquals": {"k": "${aws:NobodyKnows}"}},
        {"NumericEquals": {"k": "many"}},
        {"NumericEquals": {"number": "${number}"}},
        {"NumericNotEquals": {"k": "1"}},
        {"DateGreaterThan": {"time": "yesterday"}},
        {"DateEquals": {"time": "${time}"}},
        {"IpAddress": {"ip": "203.0.113"}},
        {"IpAddress": {"ip": "${ip}"}},
        {"NotIpAddress": {"k": "203.0.113.0/24"}},
        {"BinaryEquals": {"k": "not Base64"}},
    ],
)
def test_a_condition_that_cannot_be_evaluated_denies_and_is_logged(
    condition: Any, caplog: pytest.LogCaptureFixture
) -> None:
    context: Context = {"k": "a", "aws:tagkeys": ["a"], "number": "1", "time": "2020-01-01", "ip": "203.0.113.1"}
    with caplog.at_level(logging.WARNING):
        assert not evaluated(condition, context).allowed
        assert evaluated(condition, context, "Deny").denied
    assert "policy[0] does not allow s3:ListBucket" in caplog.text
