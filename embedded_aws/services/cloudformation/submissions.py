"""What a caller submits for a stack: a template, parameters, tags and the acknowledgment of capabilities.

Sources: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html and
https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateChangeSet.html
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from botocore.exceptions import ClientError
from moto.cloudformation.exceptions import CloudFormationError, ValidationError

from embedded_aws.iam import clients
from embedded_aws.services.cloudformation.templates import TemplateError, load
from embedded_aws.services.cloudformation.transform import macros

_BODY_BYTES = 51_200
# The property that gives an IAM resource its name.
_IAM_NAMES = {
    "AWS::IAM::Group": "GroupName",
    "AWS::IAM::InstanceProfile": "InstanceProfileName",
    "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
    "AWS::IAM::Role": "RoleName",
    "AWS::IAM::User": "UserName",
}
_SERVERLESS_ROLES = {"AWS::Serverless::Function", "AWS::Serverless::StateMachine"}


class InsufficientCapabilitiesError(CloudFormationError):
    """The template creates IAM resources or has a macro, and the caller did not acknowledge it."""

    code = "InsufficientCapabilitiesException"


@dataclasses.dataclass(frozen=True)
class Submission:
    """The template `body` with all its parameters, and the rest of the request for a stack."""

    body: str
    parameters: dict[str, str]
    capabilities: list[str]
    tags: dict[str, str]
    role_arn: str | None


def read(request: Any, account: str, region: str, existing: Any = None, *, expands_macros: bool = False) -> Submission:
    """Return what a request submits; `existing` is the stack that it updates.

    Only CreateStack and UpdateStack require CAPABILITY_AUTO_EXPAND for macros: a change set shows what they create.
    """
    body = _body(request, account, region, existing)
    try:
        document = load(body)
    except TemplateError as error:
        raise ValidationError(message=str(error)) from error
    capabilities = list(request.get("Capabilities") or [])
    missing = [
        capability
        for capability in _required(document, expands_macros=expands_macros)
        if capability not in capabilities
    ]
    if missing and not (missing == ["CAPABILITY_IAM"] and "CAPABILITY_NAMED_IAM" in capabilities):
        raise InsufficientCapabilitiesError(f"Requires capabilities : [{', '.join(missing)}]")
    tags = {tag["Key"]: tag["Value"] for tag in request.get("Tags") or []}
    parameters = dict(_parameters(request.get("Parameters") or [], existing))
    return Submission(body, parameters, capabilities, tags, request.get("RoleARN"))


def _body(request: Any, account: str, region: str, existing: Any) -> str:
    body, url = request.get("TemplateBody"), request.get("TemplateURL")
    uses_previous = bool(existing is not None and request.get("UsePreviousTemplate"))
    if (body is not None) + (url is not None) + uses_previous != 1:
        raise ValidationError(message="Either Template URL or Template Body must be specified.")
    if uses_previous:
        return str(existing.template)
    if body is None:
        return _downloaded(str(url), account, region)
    if len(body.encode()) > _BODY_BYTES:
        raise ValidationError(
            message="1 validation error detected: Value at 'templateBody' failed to satisfy constraint: "
            f"Member must have length less than or equal to {_BODY_BYTES}"
        )
    return str(body)


def _downloaded(url: str, account: str, region: str) -> str:
    """Return the object of S3 at a URL with the bucket in its path or, on AWS, in its host."""
    parts = urlsplit(url)
    host, path = str(parts.hostname), unquote(parts.path).lstrip("/")
    bucket, _, key = path.partition("/")
    if ".s3." in host:
        bucket, key = host.split(".s3.")[0], path
    version = {"VersionId": versions[0]} if (versions := parse_qs(parts.query).get("versionId")) else {}
    s3 = clients.client_as_operator("s3", account, region)
    try:
        content: bytes = s3.get_object(Bucket=bucket, Key=key, **version)["Body"].read()
    except ClientError as error:
        raise ValidationError(message=f"S3 error: {error.response['Error']['Message']}") from error
    return content.decode()


def _required(document: dict[str, Any], *, expands_macros: bool) -> Iterator[str]:
    types = {resource.get("Type") for resource in document["Resources"].values()}
    if any(
        _IAM_NAMES.get(resource.get("Type"), "") in (resource.get("Properties") or {})
        for resource in document["Resources"].values()
    ):
        yield "CAPABILITY_NAMED_IAM"
    elif types & (_SERVERLESS_ROLES | set(_IAM_NAMES)):
        yield "CAPABILITY_IAM"
    if expands_macros and macros(document):
        yield "CAPABILITY_AUTO_EXPAND"


def _parameters(given: list[dict[str, Any]], existing: Any) -> Iterator[tuple[str, str]]:
    for parameter in given:
        name = parameter["ParameterKey"]
        if not parameter.get("UsePreviousValue"):
            yield name, parameter.get("ParameterValue", "")
        elif "ParameterValue" in parameter:
            raise ValidationError(
                message=f"Invalid input for parameter key {name}. "
                "Cannot specify usePreviousValue as true and non empty value for a parameter"
            )
        elif existing is None or name not in existing.parameters:
            raise ValidationError(
                message=f"Invalid input for parameter key {name}. "
                "Cannot specify usePreviousValue as true for a parameter key not in the previous template"
            )
        else:
            yield name, existing.parameters[name]
