"""Errors of S3, explained to the operator with the missing policy statement."""

from __future__ import annotations

import json
import re

from botocore.exceptions import ClientError

from promotion.aws import denials
from promotion.aws.aws_errors import Meaning, meaning, message
from promotion.errors import PromotionRefusedError, TransientError


def explained(error: ClientError, action: str, resource: str, what: str, owner: str) -> Exception:
    """Return the exception for `error`, with what lifts the denial if AWS denied the request.

    `owner` is the account of the bucket: the upstream account, or the one that `UpstreamBuckets` names.
    """
    known = meaning(error)
    if known is Meaning.DENIED:
        missing = "Deploy the stack of this stage with the bucket in UpstreamBuckets."
        key_arn = key_in(error)
        advice = _advice_for_key(error, key_arn) if key_arn else denials.advice(error, f"account {owner}", missing)
        if advice:
            return PromotionRefusedError(f"{what} cannot be read: {message(error)}. {advice}")
        more = ""
        if "kms" in message(error).lower():
            action, resource = "kms:Decrypt", key_in(error) or "the ARN of its KMS key"
            more = " An AWS managed key (aws/s3) cannot be shared with another account. Use a customer managed key."
        statement = _statement(action, resource)
        # The response to a HEAD has no message.
        has_no_message = error.response["Error"]["Code"] == "403"
        key = " Its KMS key may also deny kms:Decrypt." if has_no_message else ""
        more = more or (
            f"{key} Also check that the bucket belongs to account {owner}. If it belongs to another one, deploy the "
            "stack of this stage with that account in UpstreamBuckets: <bucket>=<account>."
        )
        return PromotionRefusedError(
            f"{what} cannot be read: {message(error)}. It does not exist, or this stage has no permission to read it. "
            f"If it exists, add this statement for the roles under /model-promotion/ in account {owner}: "
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
    if advice := _advice_for_key(error, key):
        return PromotionRefusedError(
            f"{what} is encrypted with the KMS key {key}, which this stage cannot use: {message(error)}. {advice}"
        )
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


def other_owner(what: str, bucket: str, owner: str) -> PromotionRefusedError:
    """Return the exception for an object in a bucket that does not belong to the account `owner`."""
    return PromotionRefusedError(
        f"{what} cannot be read, because the bucket {bucket} does not belong to account {owner}. This stage reads only "
        "buckets of the upstream account and of the accounts that UpstreamBuckets names. If you trust the owner of the "
        f"bucket, deploy the stack of this stage with {bucket}=<account of the owner> in UpstreamBuckets."
    )


def _statement(action: str, resource: str) -> str:
    return json.dumps({"Effect": "Allow", "Action": action, "Resource": resource})


def _advice_for_key(error: ClientError, key: str) -> str | None:
    """Return what lifts the denial of a KMS key, or None if a statement in the policy of the key would."""
    account = key.split(":")[4] if key.startswith("arn:") else ""
    missing = (
        f"Of other accounts, a stage uses only the keys of the upstream account and of the owners in UpstreamBuckets. "
        f"Encrypt the object with a key of the account that owns its bucket{f', not of {account}' if account else ''}."
    )
    return denials.advice(error, f"account {account}", missing)


def key_in(error: ClientError) -> str | None:
    """Return the ARN of the KMS key in an error message, or None."""
    found = re.search(r"arn:[a-z-]+:kms:[a-z0-9-]+:\d{12}:key/[\w-]+", message(error))
    return found[0] if found else None
