import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from promotion.artifacts import PinnedObject, Reference
from promotion.errors import PromotionRefusedError, TryAgainError
from promotion.pinning import explained, manifest, pin
from tests.unit.faults import client_error

UPSTREAM = "111111111111"
GIB = 1024**3


def one(uri: str) -> Reference:
    return Reference((0, "ModelDataUrl"), uri, is_prefix=False)


def many(uri: str) -> Reference:
    return Reference((0, "ModelDataSource", "S3DataSource", "S3Uri"), uri, is_prefix=True)


@pytest.fixture
def s3(moto: None) -> Any:
    client = boto3.client("s3")
    for bucket in ("artifacts", "versioned"):
        client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    client.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    return client


class S3:
    """One object, of which HEAD says what it is told to say."""

    def __init__(self, failure: ClientError | None = None, **head: Any) -> None:
        self.failure = failure
        self.head = {"ContentLength": 1000, "ETag": '"e"', "ResponseMetadata": {}, **head}

    def head_object(self, **_: Any) -> dict[str, Any]:
        if self.failure:
            raise self.failure
        return self.head

    def get_paginator(self, _: str) -> "S3":
        return self

    def paginate(self, **_: Any) -> Iterator[dict[str, Any]]:
        if self.failure:
            raise self.failure
        yield {"Contents": [{"Key": "weights/a.bin"}]}


def pinned(s3: S3, name: str = "model.tar.gz") -> PinnedObject:
    return pin(s3, one(f"s3://artifacts/reviews/{name}"), UPSTREAM)[0]


def refusal(s3: Any, reference: Reference) -> str:
    with pytest.raises(PromotionRefusedError) as error:
        pin(s3, reference, UPSTREAM)
    return str(error.value)


def test_an_object_is_pinned_as_it_is_now(s3: Any) -> None:
    put = s3.put_object(
        Bucket="versioned",
        Key="reviews/model.tar.gz",
        Body=b"content",
        ChecksumAlgorithm="CRC32",
        ContentType="application/x-tar",
        Metadata={"trained-by": "me"},
    )

    found = pin(s3, one("s3://versioned/reviews/model.tar.gz"), UPSTREAM)

    assert found == [
        PinnedObject(
            bucket="versioned",
            key="reviews/model.tar.gz",
            name="model.tar.gz",
            size=7,
            etag=put["ETag"],
            version_id=put["VersionId"],
            checksum_algorithm="CRC32",
            checksum=put["ChecksumCRC32"],
            attributes={"ContentType": "application/x-tar", "Metadata": {"trained-by": "me"}},
        )
    ]


@pytest.mark.parametrize(
    ("head", "carried"),
    [
        ({"StorageClass": "INTELLIGENT_TIERING"}, {"StorageClass": "INTELLIGENT_TIERING"}),
        ({"StorageClass": "GLACIER_IR"}, {"StorageClass": "GLACIER_IR"}),
        ({"StorageClass": "DEEP_ARCHIVE", "Restore": 'ongoing-request="false"'}, {}),
        ({"ExpiresString": "Thu, 01 Dec 2033 16:00:00 GMT"}, {"Expires": "Thu, 01 Dec 2033 16:00:00 GMT"}),
        ({"CacheControl": "no-cache", "Metadata": {}}, {"CacheControl": "no-cache"}),
        ({"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "theirs"}, {}),
    ],
)
def test_what_a_copy_has_to_be_given_anew_is_pinned(head: dict[str, Any], carried: dict[str, Any]) -> None:
    assert pinned(S3(**head)).attributes == carried


def test_tags_are_pinned_as_a_copy_takes_them(s3: Any) -> None:
    for body in (b"1", b"2"):
        s3.put_object(Bucket="versioned", Key="tagged", Body=body, Tagging="team=a%2Bb&cost%20centre=1&empty=")

    (found,) = pin(s3, one("s3://versioned/tagged"), UPSTREAM)

    assert found.attributes["Tagging"] == "team=a%2Bb&cost%20centre=1&empty="


def test_tags_that_may_not_be_read_are_left_out_with_a_line_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[dict[str, Any]] = []

    class Tagged(S3):
        def get_object_tagging(self, **_: Any) -> dict[str, Any]:
            raise client_error("AccessDenied", "no identity-based policy allows the s3:GetObjectTagging action")

    monkeypatch.setattr("promotion.pinning.logger.warning", lambda _, **facts: logged.append(facts))

    assert pinned(Tagged(TagCount=1)).attributes == {}
    assert logged[0]["source"] == "s3://artifacts/reviews/model.tar.gz"
    assert "s3:GetObjectTagging" in logged[0]["reason"]


def test_an_object_overwritten_later_is_another_one(s3: Any) -> None:
    s3.put_object(Bucket="artifacts", Key="overwritten", Body=b"first")
    first = pin(s3, one("s3://artifacts/overwritten"), UPSTREAM)[0]

    s3.put_object(Bucket="artifacts", Key="overwritten", Body=b"other")
    other = pin(s3, one("s3://artifacts/overwritten"), UPSTREAM)[0]

    assert first.etag != other.etag
    assert first.content != other.content


@pytest.mark.parametrize("version", [{}, {"VersionId": "null"}])
def test_an_object_of_a_bucket_without_versions_has_none(version: dict[str, str]) -> None:
    assert pinned(S3(**version)).version_id is None


@pytest.mark.parametrize("uri", ["s3://artifacts/weights", "s3://artifacts/weights/"])
def test_everything_below_a_prefix_is_pinned_in_order_and_nothing_beside_it(s3: Any, uri: str) -> None:
    for key in ("b.bin", "a+b &=%?#.bin", "deep/größe.bin", "", "deep/"):
        s3.put_object(Bucket="artifacts", Key=f"weights/{key}", Body=key.encode())
    s3.put_object(Bucket="artifacts", Key="weights-old/c.bin", Body=b"old")

    found = pin(s3, many(uri), UPSTREAM)

    assert [one.name for one in found] == ["a+b &=%?#.bin", "b.bin", "deep/größe.bin"]
    assert [one.key for one in found] == [f"weights/{one.name}" for one in found]


def test_a_prefix_of_more_objects_than_one_page_lists_is_pinned_whole() -> None:
    class Pages(S3):
        def paginate(self, **_: Any) -> Iterator[dict[str, Any]]:
            for page in (2, 0, 1):
                yield {"Contents": [{"Key": f"weights/{page * 1000 + number:05}"} for number in range(1000)]}
            yield {}

    found = pin(Pages(), many("s3://artifacts/weights/"), UPSTREAM)

    assert [one.name for one in found] == [f"{number:05}" for number in range(3000)]


def test_a_prefix_with_nothing_but_folders_below_it_is_refused(s3: Any) -> None:
    s3.put_object(Bucket="artifacts", Key="folders/", Body=b"")
    s3.put_object(Bucket="artifacts", Key="folders/deep/", Body=b"")

    for uri in ("s3://artifacts/folders/", "s3://artifacts/nothing-at-all/"):
        assert refusal(s3, many(uri)) == f"There is nothing below {uri}, so there is nothing to promote."


@pytest.mark.parametrize("bucket", ["artifacts", "no-such-bucket"])
def test_what_does_not_exist_is_refused(s3: Any, bucket: str) -> None:
    uri = f"s3://{bucket}/no/such/key"

    assert refusal(s3, one(uri)) == f"{uri} does not exist (any more)."


def test_a_prefix_in_a_bucket_that_does_not_exist_is_refused(s3: Any) -> None:
    assert "does not exist" in refusal(s3, many("s3://no-such-bucket/weights/"))


@pytest.mark.parametrize(
    ("head", "archive"),
    [
        ({"StorageClass": "GLACIER"}, "GLACIER"),
        ({"StorageClass": "DEEP_ARCHIVE"}, "DEEP_ARCHIVE"),
        ({"StorageClass": "GLACIER", "Restore": 'ongoing-request="true"'}, "GLACIER"),
        ({"StorageClass": "INTELLIGENT_TIERING", "ArchiveStatus": "ARCHIVE_ACCESS"}, "ARCHIVE_ACCESS"),
        ({"StorageClass": "INTELLIGENT_TIERING", "ArchiveStatus": "DEEP_ARCHIVE_ACCESS"}, "DEEP_ARCHIVE_ACCESS"),
    ],
)
def test_an_archived_object_is_refused_until_it_is_restored(head: dict[str, str], archive: str) -> None:
    assert refusal(S3(**head), one("s3://artifacts/model.tar.gz")) == (
        f"s3://artifacts/model.tar.gz is archived in {archive}. Restore it, then promote again."
    )


@pytest.mark.parametrize(
    "head",
    [
        {},
        {"StorageClass": "STANDARD_IA"},
        {"StorageClass": "GLACIER_IR"},
        {"StorageClass": "INTELLIGENT_TIERING"},
        {"StorageClass": "GLACIER", "Restore": 'ongoing-request="false", expiry-date="Fri, 1 Jan 2027 00:00:00 GMT"'},
    ],
)
def test_an_object_that_can_be_read_is_not_taken_for_archived(head: dict[str, str]) -> None:
    assert pinned(S3(**head)).size == 1000


@pytest.mark.parametrize("name", ["model.tar.gz", "sourcedir.tgz"])
def test_an_empty_archive_is_refused(name: str) -> None:
    message = refusal(S3(ContentLength=0), one(f"s3://artifacts/{name}"))

    assert message == f"s3://artifacts/{name} is an empty file, which no container can unpack."


def test_an_empty_file_of_another_kind_is_pinned() -> None:
    assert pinned(S3(ContentLength=0), "__init__.py").size == 0


@pytest.mark.parametrize(
    ("head", "algorithm", "checksum"),
    [
        ({"ChecksumCRC64NVME": "c64", "ChecksumType": "FULL_OBJECT"}, "CRC64NVME", "c64"),
        ({"ChecksumCRC32": "c32", "ChecksumType": "FULL_OBJECT"}, "CRC32", "c32"),
        ({"ChecksumCRC32C": "c32c", "ChecksumType": "FULL_OBJECT"}, "CRC32C", "c32c"),
        ({"ChecksumCRC32": "c32", "ChecksumCRC64NVME": "c64"}, "CRC64NVME", "c64"),
        # Of these there is none over a whole object that was uploaded in parts.
        ({"ChecksumSHA256": "sha", "ChecksumType": "FULL_OBJECT"}, None, None),
        ({"ChecksumCRC32": "c32-7", "ChecksumType": "COMPOSITE"}, None, None),
        ({}, None, None),
    ],
)
def test_only_a_checksum_over_the_whole_object_counts(
    head: dict[str, str], algorithm: str | None, checksum: str | None
) -> None:
    found = pinned(S3(**head))

    assert (found.checksum_algorithm, found.checksum) == (algorithm, checksum)


def test_the_bucket_has_to_belong_to_the_upstream_account() -> None:
    class Strangers(S3):
        def head_object(self, **asked: Any) -> dict[str, Any]:
            if asked["ExpectedBucketOwner"] != "999999999999":
                raise client_error("403", "Forbidden", "HeadObject")
            return self.head

    reference = one("s3://artifacts/model.tar.gz")

    assert "or a bucket of another account" in refusal(Strangers(), reference)
    assert pin(Strangers(), reference, "999999999999")


def test_a_denied_object_is_refused_with_the_statement_that_is_missing() -> None:
    message = refusal(S3(client_error("403", "Forbidden", "HeadObject")), one("s3://artifacts/reviews/model.tar.gz"))

    statement = json.loads(message[message.index("{") : message.rindex("}") + 1])
    assert "s3://artifacts/reviews/model.tar.gz may not be read: 403: Forbidden" in message
    assert statement == {
        "Effect": "Allow",
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::artifacts/reviews/model.tar.gz",
    }
    assert "kms:Decrypt on its key" in message


def test_a_denied_listing_is_refused_with_the_statement_that_is_missing() -> None:
    denied = client_error("AccessDenied", "not authorized to perform: s3:ListBucket", "ListObjectsV2")

    message = refusal(S3(denied), many("s3://artifacts/weights/"))

    assert '{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::artifacts"}' in message
    assert "s3://artifacts/weights/ may not be read" in message


def test_a_denied_key_is_told_from_a_denied_object() -> None:
    denied = client_error("AccessDenied", "not authorized to perform: kms:Decrypt on arn:aws:kms:eu-west-1:1:key/2")

    message = str(explained(denied, "s3:GetObject", "arn:aws:s3:::artifacts/m", "s3://artifacts/m"))

    assert '"Action": "kms:Decrypt"' in message
    assert "an AWS managed key cannot be shared" in message
    assert "arn:aws:kms:eu-west-1:1:key/2" in message


@pytest.mark.parametrize("code", ["SlowDown", "InternalError", "503", "500", "RequestTimeout"])
@pytest.mark.parametrize("reference", [one("s3://artifacts/weights/a.bin"), many("s3://artifacts/weights/")])
def test_passing_troubles_of_s3_are_tried_again(code: str, reference: Reference) -> None:
    with pytest.raises(TryAgainError, match=f"s3://artifacts/weights/.*: {code}: "):
        pin(S3(client_error(code, "slow down")), reference, UPSTREAM)


def test_an_error_that_is_not_known_is_raised_as_it_is() -> None:
    unknown = client_error("400", "Bad Request", "HeadObject")

    with pytest.raises(ClientError) as error:
        pin(S3(unknown), one("s3://artifacts/m"), UPSTREAM)

    assert error.value is unknown


def planned(name: str, size: int) -> PinnedObject:
    return PinnedObject("artifacts", f"weights/{name}", name, size, '"e"', None, "CRC64NVME", "c", target=f"m/{name}")


def read_back(text: str, batches: list[dict[str, int]]) -> list[list[PinnedObject]]:
    content = text.encode()
    pieces = [content[batch["start"] : batch["end"]].decode() for batch in batches]
    return [[PinnedObject.from_line(line) for line in piece.splitlines()] for piece in pieces]


def test_the_batches_of_a_manifest_hold_every_object_once_and_in_order() -> None:
    objects = [planned(f"größe \u2028 {number}", 1) for number in range(2500)]

    text, batches = manifest(objects)

    assert [len(batch) for batch in read_back(text, batches)] == [1000, 1000, 500]
    assert [one for batch in read_back(text, batches) for one in batch] == objects


@pytest.mark.parametrize(
    ("sizes", "batches"),
    [
        ([1], [[1]]),
        ([100, 100], [[100, 100]]),
        ([100, 100, 1], [[100, 100], [1]]),
        ([150, 100, 100], [[150], [100, 100]]),
        ([1, 5000, 1], [[1], [5000], [1]]),
        ([5000], [[5000]]),
    ],
)
def test_a_batch_is_no_larger_than_a_function_can_copy_but_for_a_single_object(
    sizes: list[int], batches: list[list[int]]
) -> None:
    text, pieces = manifest([planned(str(number), size * GIB) for number, size in enumerate(sizes)])

    assert [[one.size // GIB for one in batch] for batch in read_back(text, pieces)] == batches


def test_nothing_to_copy_makes_no_batch() -> None:
    assert manifest([]) == ("", [])


def test_the_batches_of_a_hundred_thousand_objects_are_no_more_than_a_state_can_hold() -> None:
    class Short(PinnedObject):
        def to_line(self) -> str:
            return "{}\n"

    _, batches = manifest([Short("b", "k", "n", 1, "e", None, None, None)] * 100_000)

    assert len(batches) == 100
    assert len(json.dumps(batches)) < 32 * 1024
