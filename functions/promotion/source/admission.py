"""The admission of a source: its application must be registered in the stage, and its settings must allow the source.

An application is registered by its settings parameter, which only the operators of the stage can create. The tag of a
source names an application, but anyone who can train in the upstream account can set it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from promotion.aws import service_model
from promotion.aws.input_checks import did_you_mean
from promotion.errors import InvalidRequestError, PromotionError, PromotionRefusedError
from promotion.naming import application_name
from promotion.source.containers import lower_first
from promotion.source.tags import APPLICATION_TAG, misspelled

# The lists of the setting Sources, each with the shape in SageMaker's service model that its members must match.
_ROLES, _GROUPS, _LIFE_CYCLE = "TrainingRoles", "ModelPackageGroups", "ModelLifeCycle"
_KEYS = (_ROLES, _GROUPS, _LIFE_CYCLE)
_LIFE_CYCLE_MEMBERS = ("Stage", "StageStatus")
_SHAPES = {
    _ROLES: ("CreateTrainingJob", "RoleArn"),
    _GROUPS: ("DescribeModelPackageGroup", "ModelPackageGroupName"),
}


UNKNOWN = "unknown"
"""The application and the endpoint in the record of a promotion that ended before they were known."""


@dataclasses.dataclass(frozen=True)
class Refusal:
    """The refusal of a source that names `application`; `error` is raised if an operator started the promotion.

    `source_arn` is the ARN of the trained or registered source.
    """

    application: str
    error: PromotionError
    source_arn: str


@dataclasses.dataclass(frozen=True)
class Applications:
    """The applications of a stage in an account. `settings_of` returns the settings of one, None if not registered."""

    stage: str
    account: str
    settings_of: Callable[[str], dict[str, Any] | None]

    def registered(self, application: str, what: str) -> dict[str, Any]:
        """Return the settings of an application; raise InvalidRequestError if it is not registered in the stage.

        `what` is the source or the endpoint, such as "The training job reviews-1".
        """
        settings = self.settings_of(application)
        if settings is None:
            raise InvalidRequestError(
                f"{what} is for the application {application}, which is not registered in the stage {self.stage}. "
                f"{how_to_register(application, self.stage, self.account)}"
            )
        return settings

    def settings_for(self, application: str, source: Source) -> dict[str, Any] | Refusal:
        """Return the settings of an application if it is registered and allows the source, or the refusal."""
        try:
            settings = self.registered(application, source.what)
        except InvalidRequestError as error:
            return Refusal(application, error, source.arn)
        if (allowed := settings.get("Sources")) is None or source.allowed_by is None:
            return settings
        names = allowed.get(source.allowed_by, [])
        if source.origin is not None and {source.origin, source.origin.rpartition("/")[2]} & set(names):
            return settings
        reason = (
            f"{source.what} {source.description}, which Sources.{source.allowed_by} in the settings of {application} "
            f"does not allow in the stage {self.stage}. Allowed: {', '.join(names) or 'none'}. To allow it, add it to "
            "that list."
        )
        return Refusal(application, PromotionRefusedError(reason), source.arn)


@dataclasses.dataclass(frozen=True)
class Source:
    """What the setting Sources is compared with: the role of a training job, or the group of a model package.

    `what` names the source, `arn` is its ARN, `origin` that of the role or the group (None for a package without a
    group), and `allowed_by` the list in Sources. That is None for a model, which comes from the upstream stage or from
    an operator.
    """

    what: str
    arn: str
    description: str = ""
    origin: str | None = None
    allowed_by: str | None = None


def application_of(given: str | None, tags: dict[str, str], what: str) -> str:
    """Return the application of a source: `given` in the input, or its tag. Raise InvalidRequestError without one.

    `what` names the source, such as "The training job reviews-1".
    """
    name = given or tags.get(APPLICATION_TAG)
    if not name:
        raise InvalidRequestError(
            f'{what} has no tag {APPLICATION_TAG}, and the input has no key "application".{misspelled(tags)} '
            "Set one of them."
        )
    return (
        application_name(name) if given else application_name(name, f"The tag {APPLICATION_TAG} of {lower_first(what)}")
    )


def of_training_job(description: dict[str, Any]) -> Source:
    """Return the source of a DescribeTrainingJob response."""
    role, what = description.get("RoleArn"), f"The training job {description['TrainingJobName']}"
    ran = f"ran with the role {role}" if role else "ran with a role that SageMaker does not report"
    return Source(what, description["TrainingJobArn"], ran, role, _ROLES)


def of_auto_ml_job(description: dict[str, Any]) -> Source:
    """Return the source of a DescribeAutoMLJobV2 response, whose role runs the training jobs of its candidates."""
    what, role = f"The AutoML job {description['AutoMLJobName']}", description["RoleArn"]
    return Source(what, description["AutoMLJobArn"], f"ran with the role {role}", role, _ROLES)


def of_model_package(arn: str, group_arn: str | None) -> Source:
    """Return the source of a model package, which can be in a group."""
    where = f"is in the model package group {group_arn.rpartition('/')[2]}" if group_arn else "is in no group"
    return Source(f"The model package {arn}", arn, where, group_arn, _GROUPS)


def life_cycle(settings: dict[str, Any]) -> dict[str, str] | None:
    """Return the members of ModelLifeCycle that approve a model package according to `settings`, or None."""
    found: dict[str, str] | None = settings.get("Sources", {}).get(_LIFE_CYCLE)
    return found


def how_to_register(application: str, stage: str, account: str) -> str:
    """Return the instruction to register an application in a stage."""
    return (
        f"To register it, run in account {account}: aws cloudformation deploy --template-file application.yaml "
        f"--stack-name model-promotion-{stage}-{application} --parameter-overrides Stage={stage} "
        f"Application={application} --capabilities CAPABILITY_NAMED_IAM"
    )


def validated(value: Any, where: str, upstream_account: str) -> dict[str, Any]:
    """Return the setting {"TrainingRoles"?: [ARNs], "ModelPackageGroups"?: [names or ARNs], "ModelLifeCycle"?: {…}}.

    All roles and groups must be in the upstream account. Raise InvalidRequestError with the problem and its
    place, `where`.
    """
    if not isinstance(value, dict):
        raise InvalidRequestError(f"{where} is not an object.")
    for key, names in value.items():
        if key not in _KEYS:
            raise InvalidRequestError(
                f"{where} has the unknown key {key!a:.100}{did_you_mean(key, _KEYS)}. Valid keys: {', '.join(_KEYS)}."
            )
        if key == _LIFE_CYCLE:
            _check_life_cycle(names, f"{where}.{key}")
            continue
        operation, member = _SHAPES[key]
        shape = service_model.input_shape("sagemaker", operation).members[member]
        for index, name in enumerate(service_model.checked_names(shape, names, f"{where}.{key}")):
            if name.startswith("arn:") and (account := name.split(":")[4]) != upstream_account:
                raise InvalidRequestError(
                    f"{where}.{key}[{index}] is in account {account}, but the sources of this stage are in account "
                    f"{upstream_account}."
                )
    return value


def _check_life_cycle(value: Any, where: str) -> None:
    """Raise InvalidRequestError unless `value` has both members that approve a model package."""
    shape = service_model.input_shape("sagemaker", "CreateModelPackage").members[_LIFE_CYCLE]
    problems = list(service_model.problems(shape, value, where))
    if not problems:
        problems = [f"{where}.{member} is missing" for member in _LIFE_CYCLE_MEMBERS if member not in value]
        problems += [f"{where}.{member} cannot be compared" for member in value if member not in _LIFE_CYCLE_MEMBERS]
    if problems:
        raise InvalidRequestError(f"{service_model.listed(problems)}.")
