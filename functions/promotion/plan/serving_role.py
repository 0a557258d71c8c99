"""The serving role of an application: the execution role of its models in a stage, which its registration creates."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from promotion.aws.aws_errors import Meaning, meaning
from promotion.errors import PromotionRefusedError
from promotion.source.admission import how_to_register
from promotion.stage import Stage


def serving_role(iam: Any, path_arn: str, application: str, stage: Stage) -> str:
    """Return the ARN of the application's serving role; raise PromotionRefusedError if the role does not exist.

    `path_arn` is the common beginning of the ARNs of all serving roles of the stage. The name of a role is that of the
    endpoint, so that no setting can select the role of another application.
    """
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
