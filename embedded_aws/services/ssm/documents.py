"""Systems Manager documents where moto falls short: runbooks that cannot run, and documents made by CloudFormation."""

from __future__ import annotations

import json
from typing import Any

from moto.ssm.exceptions import InvalidDocumentContent
from moto.ssm.models import Document, ssm_backends

from embedded_aws.services.ssm import runbook

_moto_create_document_version = Document.__init__


def install() -> None:
    Document.__init__ = _create_document_version
    Document.create_from_cloudformation_json = classmethod(_create_from_cloudformation)
    Document.update_from_cloudformation_json = classmethod(_update_from_cloudformation)


def _create_document_version(document: Document, *arguments: Any, **options: Any) -> None:
    """CreateDocument and UpdateDocument refuse a runbook that could not run."""
    _moto_create_document_version(document, *arguments, **options)
    if document.document_type == "Automation":
        try:
            runbook.parse(document.content_json)
        except runbook.InvalidRunbookError as error:
            raise InvalidDocumentContent(str(error)) from None


def _create_from_cloudformation(
    cls: type[Document], /, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **__: Any
) -> Document:
    """AWS::SSM::Document; moto takes neither content that is written as YAML or JSON in the template, nor no format."""
    properties = cloudformation_json["Properties"]
    documents = ssm_backends[account_id][region_name].create_document(
        content=_content(properties),
        requires=properties.get("Requires"),
        attachments=properties.get("Attachments"),
        name=properties.get("Name") or resource_name,
        version_name=properties.get("VersionName"),
        document_type=properties.get("DocumentType", "Command"),
        document_format=properties.get("DocumentFormat", "JSON"),
        target_type=properties.get("TargetType"),
        tags=properties.get("Tags"),
    )
    return documents.get_default_version()


def _update_from_cloudformation(
    cls: type[Document],
    /,
    original_resource: Document,
    new_resource_name: str,
    cloudformation_json: Any,
    account_id: str,
    region_name: str,
) -> Document:
    """With the UpdateMethod NewVersion the document gets a new default version, otherwise it is replaced."""
    properties = cloudformation_json["Properties"]
    backend = ssm_backends[account_id][region_name]
    if properties.get("UpdateMethod") != "NewVersion":
        backend.delete_document(original_resource.name, "", "", force=True)
        return _create_from_cloudformation(cls, new_resource_name, cloudformation_json, account_id, region_name)
    if _content(properties) != original_resource.content:
        answer = backend.update_document(
            content=_content(properties),
            attachments=properties.get("Attachments"),
            name=original_resource.name,
            version_name=properties.get("VersionName"),
            document_version="$LATEST",
            document_format=properties.get("DocumentFormat", "JSON"),
            target_type=properties.get("TargetType"),
        )
        backend.update_document_default_version(original_resource.name, answer["DocumentVersion"])
    return backend._documents[original_resource.name].get_default_version()


def _content(properties: dict[str, Any]) -> str:
    content = properties["Content"]
    return content if isinstance(content, str) else json.dumps(content)
