"""Errors of S3 during a copy, explained to the operator."""

from __future__ import annotations

import dataclasses

from botocore.exceptions import ClientError

from promotion.aws import denials
from promotion.aws.aws_errors import Meaning, meaning, message
from promotion.copying.manifest import PinnedObject
from promotion.copying.s3_copy_api import Upload
from promotion.copying.s3_errors import explained, key_in
from promotion.errors import PromotionRefusedError, TransientError

# The codes of CompleteMultipartUpload for missing parts, and for parts whose total size differs from the object's.
WRONG_PARTS = {"EntityTooSmall", "InvalidPart", "InvalidRequest"}


def code(error: ClientError) -> str:
    """Return the error code of `error`."""
    return str(error.response["Error"]["Code"])


def was_repeated(error: ClientError) -> bool:
    """Return whether the request was retried, so that an earlier attempt may have taken effect."""
    return bool(error.response["ResponseMetadata"]["RetryAttempts"])


@dataclasses.dataclass(frozen=True)
class CopyErrors:
    """The errors of copies to `bucket` of the account `owner`."""

    bucket: str
    owner: str

    def of_copying(self, error: ClientError, pinned: PinnedObject) -> Exception:
        """Return the exception for the `error` of a request that reads the source and writes the target."""
        if pinned.bucket == self.bucket and pinned.owner == self.owner:
            # A copy within the bucket, of an object that the upstream account copied there a moment ago.
            is_gone = meaning(error) is Meaning.NOT_FOUND
            return self.changed(pinned) if is_gone else self.of_target(error, pinned.target)
        # S3 also decrypts parts to assemble them, so kms:Decrypt may be missing in either account.
        account = (key_in(error) or "::::").split(":")[4]
        if "kms:GenerateDataKey" in message(error) or account == self.owner != pinned.owner:
            return self.of_target(error, pinned.target)
        return explained(
            error, "s3:GetObject", f"arn:aws:s3:::{pinned.bucket}/{pinned.key}", _source(pinned), pinned.owner
        )

    def of_target(self, error: ClientError, target: str) -> Exception:
        """Return the exception for the `error` of a request that uses only the target."""
        if meaning(error) is Meaning.DENIED or code(error).startswith("KMS."):
            missing = "Deploy the stack of this stage again."
            advice = denials.advice(error, "this stage's account", missing) or (
                "The permission is missing in this stage's own account. Check the function's role, the bucket policy "
                "and the key policy."
            )
            return PromotionRefusedError(
                f"This stage has no permission to write s3://{self.bucket}/{target}: {message(error)}. {advice}"
            )
        unknown: Exception = error
        return unknown

    def of_upload(self, error: ClientError, upload: Upload, otherwise: Exception) -> Exception:
        """Return the exception for the `error` of a request for `upload`: `otherwise`, unless it was aborted."""
        if code(error) != "NoSuchUpload":
            return otherwise
        upload.is_ended = True
        return TransientError(f"The upload of s3://{self.bucket}/{upload.pinned.target} was aborted by another client.")

    def busy(self, pinned: PinnedObject) -> TransientError:
        """Return the exception for a target that another client is writing."""
        return TransientError(f"s3://{self.bucket}/{pinned.target} is being written by another client.")

    def damaged(self, pinned: PinnedObject, why: str) -> TransientError:
        """Return the exception for a damaged upload, which S3 has not completed."""
        return TransientError(f"The copy of {_source(pinned)} to s3://{self.bucket}/{pinned.target} is damaged: {why}.")

    def damaged_copy(self, pinned: PinnedObject) -> PromotionRefusedError:
        """Return the exception for a new object that differs from its source."""
        return PromotionRefusedError(
            f"s3://{self.bucket}/{pinned.target} is a damaged copy of {_source(pinned)}: its size or checksum differs. "
            "No model uses it. Delete the object, and start the promotion again."
        )

    def changed(self, pinned: PinnedObject) -> PromotionRefusedError:
        """Return the exception for a source that is not the pinned object."""
        return PromotionRefusedError(
            f"{_source(pinned)} was overwritten or deleted after the promotion was planned. Start the promotion again "
            "to promote the current object."
        )

    def occupied(self, pinned: PinnedObject) -> PromotionRefusedError:
        """Return the exception for a target with other content."""
        return PromotionRefusedError(
            f"s3://{self.bucket}/{pinned.target} already exists, and its content differs from {_source(pinned)}. It is "
            "never overwritten. Find out who wrote the object, and delete it."
        )


def _source(pinned: PinnedObject) -> str:
    return f"s3://{pinned.bucket}/{pinned.key}"
