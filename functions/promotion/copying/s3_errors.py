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
        statement = _statement(action, resource)
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


def key_denied(what: str, key: str, error: ClientError) -> PromotionRefusedError:
    """Return the exception for an object whose KMS `key` this stage cannot use, if no reader role copies it."""
    return PromotionRefusedError(
        f"{what} is encrypted with the KMS key {key}, which this stage cannot use: {message(error)}. The key of a "
        "training job without KmsKeyId is the AWS managed key aws/s3, which works in its own account only. Deploy this "
        "stage with IncomingCopies=true, and upstream.yaml with the bucket in CopiedBuckets, and the upstream account "
        "copies such objects to this stage. Or encrypt them with the key in the output ArtifactKeyArn of upstream.yaml "
        "(CreateArtifactKey=true), as KmsKeyId of OutputDataConfig. The policy of another customer managed key needs "
        f"this statement for the roles under /model-promotion/: {_statement('kms:Decrypt', key)}"
    )


def reader_denied(what: str, key: str, error: ClientError) -> PromotionRefusedError:
    """Return the exception for an object that neither this stage nor the reader role of its account can read."""
    return PromotionRefusedError(
        f"{what} is encrypted with the KMS key {key}, which this stage cannot use, and the reader role of the upstream "
        f"account cannot read the object either: {message(error)}. Deploy upstream.yaml in the upstream account with "
        "the bucket in CopiedBuckets. The policy of a customer managed key must also allow kms:Decrypt to that role."
    )


def _statement(action: str, resource: str) -> str:
    return json.dumps({"Effect": "Allow", "Action": action, "Resource": resource})


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
