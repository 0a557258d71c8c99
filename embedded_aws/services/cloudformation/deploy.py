"""Deployment of a template, as by `sam build` and `sam deploy --disable-rollback`.

Local files and the template are uploaded to the bucket of SAM CLI, and the CloudFormation API creates or updates the
stack. Source:
https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-cli-command-reference-sam-deploy.html
"""

from __future__ import annotations

import hashlib
import io
import json
import time
import zipfile
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from embedded_aws.iam import clients
from embedded_aws.kernel import accounts
from embedded_aws.services.cloudformation import templates

_POLL_SECONDS = 0.1
_CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
_LOCAL_PATHS = {"AWS::Serverless::Function": "CodeUri", "AWS::Serverless::StateMachine": "DefinitionUri"}
# A constant time, so that equal files result in equal archives: the earliest that a zip file can contain.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


class DeploymentError(Exception):
    """A stack could not be created or updated."""


def deploy(
    *,
    template: Path,
    stack_name: str,
    account: str,
    parameters: dict[str, str],
    region: str = accounts.REGION,
) -> dict[str, str]:
    """Create or update a stack, wait until it is complete and return its outputs.

    An omitted parameter keeps its previous value, as with SAM CLI. Raises DeploymentError.
    """
    client = clients.client_as_operator("cloudformation", account, region)
    document = package(template, account, region)
    existing = _describe(client, stack_name)
    kept = _kept_parameters(existing, document, parameters) if existing else []
    request: dict[str, Any] = {
        "StackName": stack_name,
        "TemplateURL": _upload_template(document, account, region),
        "Parameters": [{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()] + kept,
        "Capabilities": _CAPABILITIES,
        "DisableRollback": True,
    }
    try:
        (client.update_stack if existing else client.create_stack)(**request)
    except ClientError as error:
        if "No updates are to be performed" not in str(error):
            raise DeploymentError(f"{stack_name}: {error.response['Error']['Message']}") from error
    return _wait(client, stack_name)


def package(template: Path, account: str, region: str = accounts.REGION) -> dict[str, Any]:
    """Upload local files and zipped folders, and return the template with their S3 locations in place of the paths."""
    document = templates.load(template.read_text())
    s3, bucket = _bucket(account, region)
    path_properties: list[tuple[dict[str, Any], str]] = [(document.get("Globals", {}).get("Function", {}), "CodeUri")]
    for resource in document["Resources"].values():
        path_properties.append((resource.get("Properties", {}), _LOCAL_PATHS.get(resource["Type"], "")))
    for properties, name in path_properties:
        if isinstance(path := properties.get(name), str):
            properties[name] = {"Bucket": bucket, "Key": _upload(s3, bucket, template.parent / path)}
    return document


def delete(*, stack_name: str, account: str, region: str = accounts.REGION) -> None:
    """Delete a stack and wait until it no longer exists. Raises DeploymentError."""
    client = clients.client_as_operator("cloudformation", account, region)
    stack = _describe(client, stack_name)
    if stack is None:
        return
    client.delete_stack(StackName=stack_name)
    _wait(client, stack["StackId"])


def _bucket(account: str, region: str) -> tuple[Any, str]:
    """Return a client of S3 and the bucket for local files, which is created if it does not exist."""
    bucket = f"aws-sam-cli-managed-default-{account}"
    s3 = clients.client_as_operator("s3", account, region)
    if bucket not in {existing["Name"] for existing in s3.list_buckets()["Buckets"]}:
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": region})
    return s3, bucket


def _upload_template(document: dict[str, Any], account: str, region: str) -> str:
    """Return the URL of the template, whose path contains the bucket, as CloudFormation requires."""
    s3, bucket = _bucket(account, region)
    key = _put(s3, bucket, json.dumps(document).encode())
    return f"{accounts.endpoint_url()}/{bucket}/{key}"


def _upload(s3: Any, bucket: str, path: Path) -> str:
    return _put(s3, bucket, path.read_bytes() if path.is_file() else _zip(path))


def _put(s3: Any, bucket: str, content: bytes) -> str:
    key = hashlib.md5(content, usedforsecurity=False).hexdigest()
    s3.put_object(Bucket=bucket, Key=key, Body=content)
    return key


def _zip(folder: Path) -> bytes:
    if not folder.is_dir():
        raise DeploymentError(f"The folder {folder} does not exist.")
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                archive.writestr(zipfile.ZipInfo(str(path.relative_to(folder)), _ZIP_TIME), path.read_bytes())
    return content.getvalue()


def _describe(client: Any, stack_name: str) -> dict[str, Any] | None:
    try:
        stack: dict[str, Any] = client.describe_stacks(StackName=stack_name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    return stack


def _kept_parameters(
    stack: dict[str, Any], document: dict[str, Any], parameters: dict[str, str]
) -> list[dict[str, Any]]:
    declared = document.get("Parameters", {})
    existing = [parameter["ParameterKey"] for parameter in stack.get("Parameters", [])]
    return [
        {"ParameterKey": name, "UsePreviousValue": True}
        for name in existing
        if name in declared and name not in parameters
    ]


def _wait(client: Any, stack_name: str) -> dict[str, str]:
    while True:
        stack = client.describe_stacks(StackName=stack_name)["Stacks"][0]
        if not stack["StackStatus"].endswith("_IN_PROGRESS"):
            break
        time.sleep(_POLL_SECONDS)
    if stack["StackStatus"].endswith("_FAILED"):
        events = client.describe_stack_events(StackName=stack_name)["StackEvents"]
        reasons = [
            f"{event['LogicalResourceId']} ({event['ResourceType']}): {event['ResourceStatusReason']}"
            for event in events
            if event["ResourceStatus"].endswith("_FAILED")
        ]
        raise DeploymentError(f"{stack_name} is {stack['StackStatus']}: {reasons[1]}")
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
