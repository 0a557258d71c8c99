"""Small files in the upstream account: the smoke test and the metrics of a candidate."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from promotion.aws.aws_errors import Meaning, meaning
from promotion.copying.incoming import Reader


def get_object(s3: Any, reader: Reader | None, bucket: str, key: str, owner: str) -> Any:
    """Return the response of GetObject to this stage, or to the reader role if the object's KMS key denies this stage.

    Raises this stage's ClientError if the key is not the reason.
    """
    file = {"Bucket": bucket, "Key": key, "ExpectedBucketOwner": owner}
    try:
        return s3.get_object(**file)
    except ClientError as error:
        if reader is None or meaning(error) is not Meaning.DENIED or not _is_permitted(s3, file):
            raise
    return reader.s3.get_object(**file)


def _is_permitted(s3: Any, file: dict[str, str]) -> bool:
    """Return whether this stage may read the object, but for its key, which a HEAD without checksum does not need."""
    try:
        s3.head_object(**file)
    except ClientError:
        return False
    return True
