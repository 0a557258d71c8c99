"""Errors of S3, explained to the operator with the missing permission."""

from __future__ import annotations

import json
import re

from botocore.exceptions import ClientError

from promotion.aws.aws_errors import Meaning, meaning, message
from promotion.errors import PromotionRefusedError, TransientError


def explained(error: ClientError, action: str, resource: str, what: str) -> Exception:
    """`error` as the exception it calls for: with the statement that is missing when AWS denies us something."""
    known = meaning(error)
    if known is Meaning.DENIED:
        caller, more = "the functions of this stage (roles below /model-promotion/)", ""
        if "kms" in message(error).lower():
            action, resource = "kms:Decrypt", key_in(error) or "the key that encrypts it"
            more = " An AWS managed key (aws/s3) cannot be shared with another account."
        statement = json.dumps({"Effect": "Allow", "Action": action, "Resource": resource})
        # The answer to a HEAD has no words.
        is_mute = error.response["Error"]["Code"] == "403"
        more = more or f" It may also be{' kms:Decrypt on its key, or' if is_mute else ''} a bucket of another account."
        return PromotionRefusedError(
            f"{what} may not be read: {message(error)}. Either it is not there and s3:ListBucket is not granted, or "
            f"the upstream account does not let {caller} read it. The statement that is missing there: {statement}"
            f"{more}"
        )
    if error.response["Error"]["Code"].startswith("KMS."):
        return PromotionRefusedError(
            f"{what} cannot be decrypted: {message(error)}. See in the upstream account whether its key is enabled."
        )
    if known is Meaning.NOT_FOUND:
        return PromotionRefusedError(f"{what} does not exist (any more).")
    if known is Meaning.TRANSIENT:
        return TransientError(f"{what}: {message(error)}")
    unknown: Exception = error
    return unknown


def key_in(error: ClientError) -> str | None:
    """The ARN of the KMS key that an error names, or None."""
    found = re.search(r"arn:[a-z-]+:kms:[a-z0-9-]+:\d{12}:key/[\w-]+", message(error))
    return found[0] if found else None
