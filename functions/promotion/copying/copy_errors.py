"""What an error of S3's means for a copy, in words for the operator."""

from __future__ import annotations

import dataclasses

from botocore.exceptions import ClientError

from promotion.aws.aws_errors import Meaning, meaning, message
from promotion.copying.manifest import PinnedObject
from promotion.copying.s3_copy_api import Upload
from promotion.copying.s3_errors import explained, key_in
from promotion.errors import PromotionRefusedError, TransientError

# What CompleteMultipartUpload answers to parts that are not there, or are of another size together than the object.
WRONG_PARTS = {"EntityTooSmall", "InvalidPart", "InvalidRequest"}


def code(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])


def was_repeated(error: ClientError) -> bool:
    """Whether an earlier request, whose answer was lost or was an error, may have been carried out all the same."""
    return bool(error.response["ResponseMetadata"]["RetryAttempts"])


@dataclasses.dataclass(frozen=True)
class CopyErrors:
    """The errors of copies into `bucket`, which belongs to the account `owner`, from one of `source_owner`."""

    bucket: str
    owner: str
    source_owner: str

    def of_copying(self, error: ClientError, pinned: PinnedObject) -> Exception:
        """`error` of a request that reads the source and writes the target."""
        # Parts are decrypted as well to be put together, so that Decrypt may be missing on either side.
        account = (key_in(error) or "::::").split(":")[4]
        if "kms:GenerateDataKey" in message(error) or account == self.owner != self.source_owner:
            return self.of_target(error, pinned.target)
        return explained(error, "s3:GetObject", f"arn:aws:s3:::{pinned.bucket}/{pinned.key}", _source(pinned))

    def of_target(self, error: ClientError, target: str) -> Exception:
        """`error` of a request about the target alone."""
        if meaning(error) is Meaning.DENIED or code(error).startswith("KMS."):
            return PromotionRefusedError(
                f"s3://{self.bucket}/{target} may not be written: {message(error)}. This is of this stage's own "
                "account: see the role of the function, the policy of the bucket and that of its key."
            )
        unknown: Exception = error
        return unknown

    def of_upload(self, error: ClientError, upload: Upload, otherwise: Exception) -> Exception:
        """`error` of a request about `upload`, which somebody may have ended."""
        if code(error) != "NoSuchUpload":
            return otherwise
        upload.is_ended = True
        return TransientError(f"The upload of s3://{self.bucket}/{upload.pinned.target} was ended by someone else.")

    def busy(self, pinned: PinnedObject) -> TransientError:
        return TransientError(f"s3://{self.bucket}/{pinned.target} is being written by someone else.")

    def damaged(self, pinned: PinnedObject, why: str) -> TransientError:
        return TransientError(f"The copy of {_source(pinned)} to s3://{self.bucket}/{pinned.target} is damaged: {why}.")

    def changed(self, pinned: PinnedObject) -> PromotionRefusedError:
        return PromotionRefusedError(
            f"{_source(pinned)} has been overwritten or deleted since the promotion was planned. Promote again to take "
            "what is there now."
        )

    def occupied(self, pinned: PinnedObject) -> PromotionRefusedError:
        return PromotionRefusedError(
            f"s3://{self.bucket}/{pinned.target} is there already with other content than {_source(pinned)}. It is "
            "never overwritten; find out who wrote it, and delete it."
        )


def _source(pinned: PinnedObject) -> str:
    return f"s3://{pinned.bucket}/{pinned.key}"
