"""The macro AWS::Serverless-2016-10-31, which CloudFormation runs on a template before it reads it.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/transform-aws-serverless.html
"""

from __future__ import annotations

import copy
from typing import Any

import boto3
from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

from embedded_aws.services import iam
from embedded_aws.services.cloudformation.templates import TemplateError

_SERVERLESS = "AWS::Serverless-2016-10-31"


def macros(document: dict[str, Any]) -> list[str]:
    """Return the names of the macros that a template names."""
    named = document.get("Transform", [])
    return [named] if isinstance(named, str) else list(named)


def transform(document: dict[str, Any], parameters: dict[str, str], region: str) -> dict[str, Any]:
    """Return the template as its macro transforms it; raise TemplateError if the macro fails or is unknown."""
    unknown = [name for name in macros(document) if name != _SERVERLESS]
    if unknown:
        raise TemplateError(f"No transform named {unknown[0]} found.")
    if not macros(document):
        return document
    session = boto3.session.Session(region_name=region)
    translator = Translator(iam.aws_managed_policy_arns(), Parser(), boto_session=session)
    try:
        translated: dict[str, Any] = translator.translate(copy.deepcopy(document), dict(parameters))
    except InvalidDocumentException as error:
        causes = " ".join(cause.message for cause in error.causes)
        raise TemplateError(f"Transform {_SERVERLESS} failed with: {error.message} {causes}") from error
    # Without this call, the translator logs a warning about unpublished metrics.
    translator.metrics.publish()
    return translated
