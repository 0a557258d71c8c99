"""The evaluation of all policies follows the IAM user guide's pages on the evaluation logic."""

import dataclasses
import json
from typing import Any

import pytest

from embedded_aws.iam import evaluation, policies
from embedded_aws.iam.evaluation import Case, Consent
from embedded_aws.iam.policies import Principal, Question, Statement

ACCOUNT = "123456789012"
ROLE = Principal(f"arn:aws:iam::{ACCOUNT}:role/R", f"arn:aws:sts::{ACCOUNT}:assumed-role/R/s", ACCOUNT)
BUCKET = "arn:aws:s3:::amzn-s3-demo-bucket"
ITSELF = {"Principal": {"AWS": ROLE.arn}}
ITS_ACCOUNT = {"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}}
NOBODY = {"Effect": "Deny", "Principal": "*"}


def policy(name: str, *statements: dict[str, Any]) -> tuple[Statement, ...]:
    usual = {"Effect": "Allow", "Resource": f"{BUCKET}/*"}
    filled = [{**usual, **({} if "NotAction" in each else {"Action": "s3:GetObject"}), **each} for each in statements]
    return policies.parse(json.dumps({"Version": "2012-10-17", "Statement": filled}), name)


def case(consent: Consent, of_identity: list[Any], of_resource: list[Any], *limits: list[Any]) -> Case:
    return Case(
        Question(ROLE, "s3:GetObject", f"{BUCKET}/a", {}),
        consent,
        policy("identity", *of_identity),
        policy("resource", *of_resource),
        tuple(("a session", policy("limit", *limit)) for limit in limits),
    )


@pytest.mark.parametrize(
    ("consent", "of_identity", "of_resource", "allowed"),
    [
        (Consent.EITHER, [{}], [], True),
        (Consent.EITHER, [], [ITSELF], True),
        (Consent.EITHER, [], [ITS_ACCOUNT], False),
        (Consent.EITHER, [], [], False),
        (Consent.BOTH, [{}], [ITS_ACCOUNT], True),
        (Consent.BOTH, [{}], [], False),
        (Consent.BOTH, [], [ITSELF], False),
        (Consent.RESOURCE, [], [ITSELF], True),
        (Consent.RESOURCE, [{}], [ITS_ACCOUNT], True),
        (Consent.RESOURCE, [], [ITS_ACCOUNT], False),
        (Consent.RESOURCE, [{}], [], False),
        (Consent.RESOURCE_ALONE, [], [ITSELF], True),
        (Consent.RESOURCE_ALONE, [{}], [], False),
        (Consent.NOBODY, [], [], True),
        (Consent.NOBODY, [{"Effect": "Deny"}], [], False),
        (Consent.EITHER, [{}, {"Effect": "Deny"}], [], False),
        (Consent.BOTH, [{}], [ITSELF, NOBODY], False),
    ],
)
def test_the_required_policies_must_allow_and_no_policy_may_deny(
    consent: Consent, of_identity: list[Any], of_resource: list[Any], allowed: bool
) -> None:
    assert evaluation.judge(case(consent, of_identity, of_resource)).allowed is allowed


def test_a_limit_restricts_and_grants_nothing() -> None:
    assert evaluation.judge(case(Consent.EITHER, [{}], [], [{}])).allowed
    assert not evaluation.judge(case(Consent.EITHER, [], [], [{}])).allowed
    assert not evaluation.judge(case(Consent.EITHER, [{}], [], [{"Action": "s3:PutObject"}])).allowed
    refused = evaluation.judge(case(Consent.EITHER, [{}], [], [{}, {"Effect": "Deny"}]))
    assert refused.why == "with an explicit deny in a session policy"


def test_a_denial_names_the_type_of_policy_that_lacks_the_action() -> None:
    assert "no identity-based" in evaluation.judge(case(Consent.BOTH, [], [ITSELF])).why
    assert "no resource-based" in evaluation.judge(case(Consent.BOTH, [{}], [])).why


def test_one_allowed_form_of_a_resource_is_enough_unless_another_is_denied() -> None:
    allowed, not_allowed = case(Consent.EITHER, [{}], []), case(Consent.EITHER, [], [])
    denied = case(Consent.EITHER, [{"Effect": "Deny"}], [])

    assert evaluation.judge_forms([not_allowed, allowed])[1].allowed
    assert not evaluation.judge_forms([allowed, denied])[1].allowed
    assert not evaluation.judge_forms([not_allowed, not_allowed])[1].allowed


@pytest.mark.parametrize(
    ("statements", "needed"),
    [
        # It is the only grant.
        ([{}], [True]),
        ([{"Action": ["s3:PutObject", "s3:GetObject"], "Resource": ["arn:aws:s3:::another/*", f"{BUCKET}/*"]}], [True]),
        # Another statement, another action or another resource of the same statement allows it as well.
        ([{}, {"Action": "s3:*"}], [False, False]),
        ([{"Action": ["s3:GetObject", "s3:Get*"]}], [False]),
        ([{"Resource": [f"{BUCKET}/*", f"{BUCKET}/a"]}], [False]),
        ([{"NotAction": "iam:*", "Resource": [f"{BUCKET}/*", "arn:aws:s3:::another/*"]}], [True]),
    ],
)
def test_a_case_without_its_only_matching_grant_is_denied(statements: list[Any], needed: list[bool]) -> None:
    question_case = case(Consent.EITHER, statements, [])
    by = evaluation.judge(question_case).by

    assert [not evaluation.judge(evaluation.without(question_case, match)).allowed for match in by] == needed


def test_only_the_matching_action_and_resource_are_removed() -> None:
    both = [{"Action": ["s3:GetObject", "s3:PutObject"], "Resource": [f"{BUCKET}/*", "arn:aws:s3:::another/*"]}]
    question_case = case(Consent.EITHER, both, [])
    (match,) = evaluation.judge(question_case).by

    remaining = evaluation.without(question_case, match)

    def is_allowed(action: str, resource: str) -> bool:
        question = dataclasses.replace(question_case.question, action=action, resource=resource)
        return evaluation.judge(dataclasses.replace(remaining, question=question)).allowed

    assert not is_allowed("s3:GetObject", f"{BUCKET}/a")
    assert is_allowed("s3:PutObject", f"{BUCKET}/a")
    assert is_allowed("s3:GetObject", "arn:aws:s3:::another/a")
