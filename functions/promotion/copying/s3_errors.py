"""Errors of S3, explained to the operator with the missing policy statement."""

from __future__ import annotations

import json
import re

from botocore.exceptions import ClientError

from promotion.aws.aws_errors import Meaning, meaning, message
from promotion.errors import PromotionRefusedError, TransientError


def explained(error: ClientError, action: str, resource: str, what: str) -> Exception:
    """Return the exception for `error`, with the missing policy statement if AWS denied the request."""
    known = meaning(error)
    if known is Meaning.DENIED:
        if refusal := _of_policy(error, what):
            return refusal
        more = ""
        if "kms" in message(error).lower():
            action, resource = "kms:Decrypt", key_in(error) or "the ARN of its KMS key"
            more = " An AWS managed key (aws/s3) cannot be shared with another account. Use a customer managed key."
        statement = json.dumps({"Effect": "Allow", "Action": action, "Resource": resource})
        # The response to a HEAD has no message.
        has_no_message = error.response["Error"]["Code"] == "403"
        key = " Its KMS key may also deny kms:Decrypt." if has_no_message else ""
        more = more or f"{key} Also check that the bucket belongs to the upstream account."
        return PromotionRefusedError(
            f"{what} cannot be read: {message(error)}. It does not exist, or this stage has no permission to read it. "
            "If it exists, add this statement for the roles under /model-promotion/ in the upstream account: "
            f"{statement}{more}"
        )
    if error.response["Error"]["Code"].startswith("KMS."):
        return PromotionRefusedError(
            f"{what} cannot be decrypted: {message(error)}. Check in the upstream account that its KMS key is enabled."
        )
    if known is Meaning.NOT_FOUND:
        return PromotionRefusedError(
            f"{what} does not exist. Check the URI, and create the object again if it was deleted."
        )
    if known is Meaning.TRANSIENT:
        return TransientError(f"{what}: {message(error)}")
    unknown: Exception = error
    return unknown


def _of_policy(error: ClientError, what: str) -> PromotionRefusedError | None:
    """Return the exception for a denial that a statement upstream cannot lift, according to AWS's message, or None.

    IAM user guide, "Troubleshoot access denied error messages": the messages name the kind of policy.
    """
    said = message(error)
    if explicit := re.search(r"with an explicit deny in an? ([\w -]{1,60}? ?policy|permissions boundary)", said):
        return PromotionRefusedError(
            f"{what} cannot be read: {said}. An explicit deny in a {explicit[1]} overrides every statement that allows "
            "it. Find that policy, and exclude the roles of this stage from the deny."
        )
    if re.search(r"because no identity-based policy allows the s3:\w+ action", said):
        return PromotionRefusedError(
            f"{what} cannot be read: {said}. The permission is missing in this stage's own account. Deploy the stack "
            "of this stage with the bucket in UpstreamBuckets."
        )
    if limit := re.search(r"because no (?!resource-based|identity-based)([\w -]{1,60}) allows", said):
        return PromotionRefusedError(
            f"{what} cannot be read: {said}. A {limit[1]} does not permit it. Extend that policy for the roles of this "
            "stage."
        )
    return None


def key_in(error: ClientError) -> str | None:
    """Return the ARN of the KMS key in an error message, or None."""
    found = re.search(r"arn:[a-z-]+:kms:[a-z0-9-]+:\d{12}:key/[\w-]+", message(error))
    return found[0] if found else None
