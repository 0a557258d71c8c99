"""What the holders of the roles of a stage could make it serve, computed from the deployed policies.

An effect is a set of permissions, each of which must be allowed. A condition on a key that an effect does not name,
such as a tag of a resource, is taken as met: the holder could choose a resource that meets it.
"""

from __future__ import annotations

import dataclasses
import logging
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from embedded_aws.aws import EmbeddedAws
from embedded_aws.iam import conditions, decisions, evaluation
from embedded_aws.iam.conditions import UnknownError
from embedded_aws.iam.decisions import Caller
from embedded_aws.iam.evaluation import Case
from embedded_aws.iam.permissions import Need
from embedded_aws.iam.policies import Statement
from embedded_aws.kernel.accounts import REGION
from sandbox import stacks
from tests.permissions import explained
from tests.support.people import POLICIES, Person
from tests.support.world import PRODUCTION, TRYING, Stage, deploy

_NEW = {"s3:if-none-match": "*", "s3:objectcreationoperation": "true"}
_OVER = {"s3:if-none-match": None, "s3:objectcreationoperation": "true"}
_TO_SAGEMAKER = {"iam:passedtoservice": "sagemaker.amazonaws.com"}


@dataclasses.dataclass(frozen=True)
class Permission:
    """An action on a resource: `resource` is an ARN without partition, region and account, with the stage's names."""

    action: str
    resource: str
    context: Mapping[str, str | None] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Effect:
    """Something that decides what a stage serves, and the permissions that it requires."""

    name: str
    required: tuple[Permission, ...]


def _effect(name: str, *required: tuple[str, str] | tuple[str, str, Mapping[str, str | None]]) -> Effect:
    return Effect(name, tuple(Permission(*each) for each in required))


def _items(kind: str) -> tuple[str, str, dict[str, str | None]]:
    return "dynamodb:PutItem", "TABLE", {"dynamodb:leadingkeys": kind}


_MODEL = "sagemaker:::model/reviews-STAGE-20260101-0000-0a1b2c3d"
_CONFIG = "sagemaker:::endpoint-config/reviews-STAGE-20260101-0000-0a1b2c3d"
_ENDPOINT = "sagemaker:::endpoint/reviews-STAGE"
_ARTIFACT = "s3:::BUCKET/models/reviews/digest/0/ModelDataUrl/model.tar.gz"

EFFECTS = (
    _effect(
        "update an endpoint to a config of the stage",
        ("sagemaker:UpdateEndpoint", _ENDPOINT),
        ("sagemaker:UpdateEndpoint", _CONFIG),
    ),
    _effect(
        "update an endpoint to any config",
        ("sagemaker:UpdateEndpoint", _ENDPOINT),
        ("sagemaker:UpdateEndpoint", "sagemaker:::endpoint-config/by-hand"),
    ),
    _effect("create an endpoint", ("sagemaker:CreateEndpoint", _ENDPOINT), ("sagemaker:CreateEndpoint", _CONFIG)),
    _effect("delete an endpoint", ("sagemaker:DeleteEndpoint", _ENDPOINT)),
    _effect("scale an endpoint", ("sagemaker:UpdateEndpointWeightsAndCapacities", _ENDPOINT)),
    _effect("change an endpoint of others", ("sagemaker:UpdateEndpoint", "sagemaker:::endpoint/elsewhere")),
    _effect("create an endpoint config", ("sagemaker:CreateEndpointConfig", _CONFIG)),
    _effect("create a model", ("sagemaker:CreateModel", _MODEL)),
    _effect("pass the serving role", ("iam:PassRole", "SERVING", _TO_SAGEMAKER)),
    _effect("tag a model", ("sagemaker:AddTags", _MODEL)),
    _effect("tag an endpoint config", ("sagemaker:AddTags", _CONFIG)),
    _effect("write a new artifact", ("s3:PutObject", _ARTIFACT, _NEW)),
    _effect("overwrite an artifact", ("s3:PutObject", _ARTIFACT, _OVER)),
    _effect("delete an artifact", ("s3:DeleteObject", _ARTIFACT)),
    _effect("delete a version of an artifact", ("s3:DeleteObjectVersion", _ARTIFACT)),
    _effect("write a copy to incoming/", ("s3:PutObject", "s3:::BUCKET/incoming/execution/0a", _NEW)),
    _effect("read a copy in incoming/", ("s3:GetObject", "s3:::BUCKET/incoming/execution/0a")),
    _effect("write a smoke test", ("s3:PutObject", "s3:::BUCKET/models/reviews/digest/smoke-test/0a.json", _NEW)),
    _effect("write a manifest", ("s3:PutObject", "s3:::BUCKET/manifests/execution.jsonl", _OVER)),
    _effect("write a response", ("s3:PutObject", "s3:::BUCKET/inference/APPLICATION/response", _OVER)),
    _effect("push an image", ("ecr:PutImage", "ecr:::repository/model-promotion-STAGE")),
    _effect("write settings", ("ssm:PutParameter", "ssm:::parameter/model-promotion/STAGE/reviews")),
    _effect("write the record of a promotion", _items("history#reviews-STAGE")),
    _effect("write the live record", _items("live")),
    _effect("update the live record", ("dynamodb:UpdateItem", "TABLE", {"dynamodb:leadingkeys": "live"})),
    _effect("write a lock with its journal", _items("lock")),
    _effect("write an approval request", _items("approval")),
    _effect("claim resources or their removal", _items("use")),
    _effect("start the state machine", ("states:StartExecution", "states:::stateMachine:model-promotion-STAGE")),
    _effect("stop a promotion", ("states:StopExecution", "states:::execution:model-promotion-STAGE:any")),
    _effect("redrive a promotion", ("states:RedriveExecution", "states:::execution:model-promotion-STAGE:any")),
    _effect("change the state machine", ("states:UpdateStateMachine", "states:::stateMachine:model-promotion-STAGE")),
    _effect("invoke a function", ("lambda:InvokeFunction", "FUNCTION")),
    _effect("change the code of a function", ("lambda:UpdateFunctionCode", "FUNCTION")),
    _effect(
        "start the approval runbook",
        ("ssm:StartAutomationExecution", "ssm:::automation-definition/model-promotion-STAGE:$DEFAULT"),
    ),
    _effect("approve", ("ssm:SendAutomationSignal", "ssm:::automation-execution/any")),
    _effect("cancel an approval", ("ssm:StopAutomationExecution", "ssm:::automation-execution/any")),
    _effect("change the approval runbook", ("ssm:UpdateDocument", "ssm:::document/model-promotion-STAGE")),
    _effect("publish an event on the stage's bus", ("events:PutEvents", "events:::event-bus/model-promotion-STAGE")),
    _effect("publish a notification", ("sns:Publish", "TOPIC")),
    _effect(
        "change the alarms of an endpoint", ("cloudwatch:PutMetricAlarm", "cloudwatch:::alarm:reviews-STAGE-latency")
    ),
    _effect("change the policy of a role", ("iam:PutRolePolicy", "SERVING")),
    _effect("deploy the stack", ("cloudformation:ExecuteChangeSet", "cloudformation:::stack/model-promotion-STAGE/id")),
)


def possible(stage: Stage, roles: Mapping[str, str]) -> dict[str, set[str]]:
    """Return the names of the roles that can have each effect, by its name. `roles` maps names to ARNs."""
    names = _names(stage)
    return {
        effect.name: {
            name
            for name, arn in roles.items()
            if all(_is_allowed(stage, arn, permission, names) for permission in effect.required)
        }
        for effect in EFFECTS
    }


def roles_of(stage: Stage) -> dict[str, str]:
    """Return the ARNs of the roles of a stage's stack and of people, by their names in the templates."""
    pages = stage.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stage.stack)
    resources = [resource for page in pages for resource in page["StackResourceSummaries"]]
    ids = [each["LogicalResourceId"] for each in resources if each["ResourceType"] == "AWS::IAM::Role"]
    roles = {name: stage.role(name) for name in ids}
    own = {name: arn for name, arn in roles.items() if "/serving/" not in arn}
    people = {policy.capitalize(): _person(stage, policy) for policy in POLICIES}
    return own | {"the serving role": serving_role(stage)} | people


def serving_role(stage: Stage) -> str:
    """Return the ARN of a role of promoted models."""
    found = stage.client("iam").list_roles(PathPrefix=f"/model-promotion/{stage.name}/serving/")["Roles"]
    return str(found[0]["Arn"])


def _person(stage: Stage, policy: str) -> str:
    return Person(stage, f"effects-{policy}", *dict.fromkeys(["viewer", policy])).role_arn


def findings(found: Mapping[str, set[str]]) -> Iterator[str]:
    """Yield the effects that are not explained, and the explanations of effects that do not exist."""
    for effect in EFFECTS:
        expected = explained.EFFECTS.get(effect.name, {})
        for role in sorted(found[effect.name] - expected.keys()):
            yield f"{role} can {effect.name}, which is not explained."
        for role in sorted(expected.keys() - found[effect.name]):
            yield f"{role} cannot {effect.name}, but this is explained."
    for name in explained.EFFECTS.keys() - {effect.name for effect in EFFECTS}:
        yield f"There is no effect {name!r}."


def main() -> None:
    """Deploy the stacks, and print what each role of the production stage could make it serve."""
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as directory, EmbeddedAws(Path(directory)):
        deploy()
        stacks.register("reviews", "production", PRODUCTION)
        production = Stage("production", PRODUCTION)
        found = possible(production, roles_of(production))
    for effect, roles in found.items():
        print(f"{effect}: {'' if roles else 'nobody'}")
        for role in sorted(roles):
            print(f"    {role}: {explained.EFFECTS.get(effect, {}).get(role, '?')}")
    problems = list(findings(found))
    for problem in problems:
        print(f"ERROR {problem}")
    sys.exit(1 if problems else 0)


def _names(stage: Stage) -> dict[str, str]:
    function = stage.physical_id("CreateModelFunction")
    return {
        "TABLE": f"dynamodb:::table/{stage.table}",
        "FUNCTION": f"lambda:::function:{function}",
        "SERVING": serving_role(stage),
        "TOPIC": stage.physical_id("Notifications"),
    }


def _is_allowed(stage: Stage, role_arn: str, permission: Permission, names: Mapping[str, str]) -> bool:
    resource = names.get(permission.resource, permission.resource)
    application = names["SERVING"].rpartition("/")[2].removesuffix(f"-{stage.name}")
    resource = resource.replace("BUCKET", stage.bucket).replace("STAGE", stage.name)
    resource = resource.replace("APPLICATION", application)
    if not resource.startswith("arn:"):
        service, _, _, rest = resource.split(":", 3)
        place = "::" if service == "s3" else f"{REGION}:{stage.account}"
        resource = f"arn:aws:{service}:{place.removesuffix(':') if service == 's3' else place}:{rest}"
    session = f"arn:aws:sts::{stage.account}:assumed-role/{role_arn.rpartition('/')[2]}/{TRYING}"
    caller = Caller(stage.account, session, role_arn)
    decision = decisions.decide(caller, Need(permission.action, (resource,), permission.context), {})
    return evaluation.judge_forms([_relaxed(case) for case in decision.cases])[1].allowed


def _relaxed(case: Case) -> Case:
    """Return the case without conditions on keys that are unknown for it: they are met, but deny nothing."""

    def relaxed(statements: Iterable[Statement]) -> tuple[Statement, ...]:
        return tuple(each for statement in statements if (each := _without_unknown(statement, case)))

    return dataclasses.replace(case, of_identity=relaxed(case.of_identity), of_resource=relaxed(case.of_resource))


def _without_unknown(statement: Statement, case: Case) -> Statement | None:
    condition = statement.body.get("Condition", {})
    known = {
        operator: {key: value for key, value in block.items() if _is_known(key, case)}
        for operator, block in condition.items()
    }
    if known != condition and not statement.allows:
        return None
    return dataclasses.replace(statement, body={**statement.body, "Condition": known})


def _is_known(key: str, case: Case) -> bool:
    try:
        conditions.value_of(case.question.context, key)
    except UnknownError:
        return False
    return True


if __name__ == "__main__":
    main()
