"""All policies together, as the IAM user guide's pages on the evaluation logic have it; and what one is needed for."""

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
def test_whose_policies_have_to_allow_and_that_none_may_deny(
    consent: Consent, of_identity: list[Any], of_resource: list[Any], allowed: bool
) -> None:
    assert evaluation.judge(case(consent, of_identity, of_resource)).allowed is allowed


def test_a_limit_takes_away_and_allows_nothing() -> None:
    assert evaluation.judge(case(Consent.EITHER, [{}], [], [{}])).allowed
    assert not evaluation.judge(case(Consent.EITHER, [], [], [{}])).allowed
    assert not evaluation.judge(case(Consent.EITHER, [{}], [], [{"Action": "s3:PutObject"}])).allowed
    refused = evaluation.judge(case(Consent.EITHER, [{}], [], [{}, {"Effect": "Deny"}]))
    assert refused.why == "with an explicit deny in a session policy"


def test_a_refusal_says_which_policy_lacks_it() -> None:
    assert "no identity-based" in evaluation.judge(case(Consent.BOTH, [], [ITSELF])).why
    assert "no resource-based" in evaluation.judge(case(Consent.BOTH, [{}], [])).why


def test_one_form_of_a_resource_is_enough_unless_another_is_denied() -> None:
    allowed, not_allowed = case(Consent.EITHER, [{}], []), case(Consent.EITHER, [], [])
    denied = case(Consent.EITHER, [{"Effect": "Deny"}], [])

    assert evaluation.judge_forms([not_allowed, allowed])[1].allowed
    assert not evaluation.judge_forms([allowed, denied])[1].allowed
    assert not evaluation.judge_forms([not_allowed, not_allowed])[1].allowed


@pytest.mark.parametrize(
    ("statements", "needed"),
    [
        # The only one.
        ([{}], [True]),
        ([{"Action": ["s3:PutObject", "s3:GetObject"], "Resource": ["arn:aws:s3:::another/*", f"{BUCKET}/*"]}], [True]),
        # Another statement, another action or another resource of the same statement allows it as well.
        ([{}, {"Action": "s3:*"}], [False, False]),
        ([{"Action": ["s3:GetObject", "s3:Get*"]}], [False]),
        ([{"Resource": [f"{BUCKET}/*", f"{BUCKET}/a"]}], [False]),
        ([{"NotAction": "iam:*", "Resource": [f"{BUCKET}/*", "arn:aws:s3:::another/*"]}], [True]),
    ],
)
def test_what_is_refused_without_the_action_on_the_resource_that_allowed_it(
    statements: list[Any], needed: list[bool]
) -> None:
    asked = case(Consent.EITHER, statements, [])
    by = evaluation.judge(asked).by

    assert [not evaluation.judge(evaluation.without(asked, match)).allowed for match in by] == needed


def test_what_lock_held_away_is_that_action_on_that_resource_and_no_more() -> None:
    both = [{"Action": ["s3:GetObject", "s3:PutObject"], "Resource": [f"{BUCKET}/*", "arn:aws:s3:::another/*"]}]
    asked = case(Consent.EITHER, both, [])
    (match,) = evaluation.judge(asked).by

    left = evaluation.without(asked, match)

    def may(action: str, resource: str) -> bool:
        question = dataclasses.replace(asked.question, action=action, resource=resource)
        return evaluation.judge(dataclasses.replace(left, question=question)).allowed

    assert not may("s3:GetObject", f"{BUCKET}/a")
    assert may("s3:PutObject", f"{BUCKET}/a")
    assert may("s3:GetObject", "arn:aws:s3:::another/a")
