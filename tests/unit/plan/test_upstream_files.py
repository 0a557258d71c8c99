"""Small files in the upstream account that this stage may not be able to decrypt."""

import io
from typing import Any

import pytest
from botocore.exceptions import ClientError

from promotion.copying.incoming import Reader
from promotion.plan import upstream_files
from tests.support.s3_faults import client_error

WANTED = ("artifacts", "evaluation.json", "111111111111")


class S3:
    def __init__(self, content: bytes | ClientError, head: ClientError | None = None) -> None:
        self.content, self.head = content, head

    def get_object(self, **request: str) -> dict[str, Any]:
        assert request == dict(zip(("Bucket", "Key", "ExpectedBucketOwner"), WANTED, strict=True))
        if isinstance(self.content, ClientError):
            raise self.content
        return {"Body": io.BytesIO(self.content)}

    def head_object(self, **_: str) -> None:
        if self.head:
            raise self.head


def fetched(own: S3, of_reader: S3 | None) -> bytes:
    reader = Reader(lambda: of_reader, "execution") if of_reader else None
    return bytes(upstream_files.get_object(own, reader, *WANTED)["Body"].read())


def test_a_file_is_read_by_this_stage() -> None:
    assert fetched(S3(b"own"), S3(b"of the role")) == b"own"


def test_a_file_with_a_key_that_denies_this_stage_is_read_by_the_reader_role() -> None:
    assert fetched(S3(client_error("AccessDenied")), S3(b"of the role")) == b"of the role"


@pytest.mark.parametrize(
    ("own", "of_reader"),
    [
        (S3(client_error("AccessDenied")), None),
        (S3(client_error("AccessDenied"), head=client_error("403")), S3(b"of the role")),
        (S3(client_error("NoSuchKey")), S3(b"of the role")),
        (S3(client_error("SlowDown")), S3(b"of the role")),
    ],
    ids=["no role", "a missing permission", "no file", "a transient error"],
)
def test_any_other_error_is_that_of_this_stage(own: S3, of_reader: S3 | None) -> None:
    with pytest.raises(ClientError) as error:
        fetched(own, of_reader)

    assert error.value is own.content
