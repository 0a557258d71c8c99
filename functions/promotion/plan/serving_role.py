"""The serving role of an application: the execution role of its models in a stage, which its registration creates."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from promotion.aws.aws_errors import Meaning, meaning
from promotion.errors import InvalidRequestError, PromotionRefusedError
from promotion.source.admission import how_to_register
from promotion.stage import Stage


def serving_role(iam: Any, path_arn: str, application: str, settings: dict[str, Any], stage: Stage) -> str:
    """Return the ARN of the application's serving role.

    `path_arn` is the common beginning of the ARNs of all serving roles of the stage. The name of a role is that of the
    endpoint, so that no setting can select the role of another application. Raise PromotionRefusedError if the role
    does not exist, and InvalidRequestError if an endpoint of the settings would write where the role cannot.
    """
    _assert_own(settings["EndpointConfig"], application, stage)
    name = stage.endpoint(application)
    arn = f"{path_arn}{name}"
    try:
        found = iam.get_role(RoleName=name)["Role"]["Arn"]
    except ClientError as error:
        # Outside the path, IAM denies GetRole. It may deny it for a name that no role has, too.
        if meaning(error) not in (Meaning.NOT_FOUND, Meaning.DENIED):
            raise
        found = None
    if found != arn:
        raise PromotionRefusedError(
            f"The application {application} has no serving role in the stage {stage.name}: the role {arn} does not "
            f"exist. {how_to_register(application, stage.name, stage.account)}"
        )
    return arn


def _assert_own(value: Any, application: str, stage: Stage) -> None:
    """Raise InvalidRequestError if a part of an endpoint config has a URI of another application in the stage's bucket.

    Other buckets grant access in their own policies.
    """
    if isinstance(value, dict | list):
        for member in value.values() if isinstance(value, dict) else value:
            _assert_own(member, application, stage)
    elif isinstance(value, str) and f"{value}/".startswith(stage.uri("")):
        own = stage.uri(f"inference/{application}/")
        if not f"{value}/".startswith(own):
            raise InvalidRequestError(
                f"EndpointConfig in the settings of {application} has the URI {value}. In the artifact bucket, the "
                f"models of {application} can write only under {own}. Change the URI."
            )
