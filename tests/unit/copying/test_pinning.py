import dataclasses
import json
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from promotion.copying.incoming import Reader
from promotion.copying.manifest import PinnedObject
from promotion.copying.pinning import MAXIMUM_BYTES, REQUESTS_IN_FLIGHT, assert_within_limits, pin, pin_on_loop
from promotion.copying.references import Reference
from promotion.errors import PromotionRefusedError, TransientError
from tests.support import idle_clock
from tests.support.copies import copy
from tests.support.s3_faults import client_error
from tests.support.s3_service import S3, Request, Response, client, served

UPSTREAM = "111111111111"


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


class Object(S3):
    """An S3 where each object exists, with the given headers."""

    def __init__(self, **head: str) -> None:
        super().__init__()
        self.owners["artifacts"] = UPSTREAM
        self.put("artifacts", "reviews/model.tar.gz", 1000, None)
        self.head = {"content-length": "1000", "etag": '"e"'} | {
            name.replace("_", "-"): value for name, value in head.items()
        }

    def head_object(self, request: Request) -> Response:
        return 200, self.head, ""

    def get_object_tagging(self, request: Request) -> Response:
        if int(self.head.get("x-amz-tagging-count", 0)):
            raise client_error("AccessDenied", "no identity-based policy allows the s3:GetObjectTagging action")
        return 200, {}, "<Tagging/>"


def pin_in(s3: S3, reference: Reference, owner: str = UPSTREAM) -> list[PinnedObject]:
    async def scenario() -> list[PinnedObject]:
        async with served(s3):
            return await pin_on_loop(client(), reference, owner)

    return idle_clock.run(scenario())


def pinned(s3: S3, name: str = "model.tar.gz") -> PinnedObject:
    return pin_in(s3, one(f"s3://artifacts/reviews/{name}"))[0]


def refusal(s3: Any, reference: Reference) -> str:
    with pytest.raises(PromotionRefusedError) as error:
        pin_in(s3, reference) if isinstance(s3, S3) else pin(s3, reference, UPSTREAM)
    return str(error.value)


def test_an_object_is_pinned_in_its_current_state(s3: Any) -> None:
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
            attributes={"content-type": "application/x-tar", "x-amz-meta-trained-by": "me"},
            owner=UPSTREAM,
        )
    ]


COPIED = {
    "cache-control": "no-cache",
    "content-disposition": "attachment",
    "content-encoding": "gzip",
    "content-language": "en",
    "content-type": "application/x-tar",
    "expires": "Thu, 01 Dec 2033 16:00:00 GMT",
    "x-amz-meta-trained-by": "me",
}


@pytest.mark.parametrize(
    ("head", "copied"),
    [
        (COPIED, COPIED),
        ({"x-amz-storage-class": "INTELLIGENT_TIERING"}, {"x-amz-storage-class": "INTELLIGENT_TIERING"}),
        ({"x-amz-storage-class": "GLACIER_IR"}, {"x-amz-storage-class": "GLACIER_IR"}),
        ({"x-amz-storage-class": "DEEP_ARCHIVE", "x-amz-restore": 'ongoing-request="false"'}, {}),
        ({"x-amz-server-side-encryption": "aws:kms", "x-amz-server-side-encryption-aws-kms-key-id": "theirs"}, {}),
        ({"last-modified": "Thu, 01 Dec 2033 16:00:00 GMT", "accept-ranges": "bytes", "server": "AmazonS3"}, {}),
    ],
)
def test_the_attributes_that_a_copy_must_set_are_pinned(head: dict[str, str], copied: dict[str, str]) -> None:
    assert pinned(Object(**head)).attributes == copied


def test_tags_are_pinned_in_the_format_of_a_copy(s3: Any) -> None:
    for body in (b"1", b"2"):
        s3.put_object(Bucket="versioned", Key="tagged", Body=body, Tagging="team=a%2Bb&cost%20centre=1&empty=")

    (found,) = pin(s3, one("s3://versioned/tagged"), UPSTREAM)

    assert found.attributes["x-amz-tagging"] == "team=a%2Bb&cost%20centre=1&empty="


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    monkeypatch.setattr("promotion.copying.pinning.logger.warning", lambda text, **facts: lines.append({text: facts}))
    return lines


def test_tags_without_permission_to_read_them_are_omitted_and_logged(logged: list[dict[str, Any]]) -> None:
    assert pinned(Object(x_amz_tagging_count="1")).attributes == {}
    assert logged[0]["Tags are not copied"]["source"] == "s3://artifacts/reviews/model.tar.gz"
    assert "s3:GetObjectTagging" in logged[0]["Tags are not copied"]["reason"]


def test_a_missing_permission_to_read_tags_is_logged_even_without_a_count(
    logged: list[dict[str, Any]],
) -> None:
    s3 = Object()
    s3.fault = lambda request, _: "AccessDenied" if request.operation == "GetObjectTagging" else ""
    for number in range(50):
        s3.put("artifacts", f"weights/{number}", 1)

    assert len(pin_in(s3, many("s3://artifacts/weights/"))) == 50
    assert [list(line) for line in logged] == [["Tags are not copied"]]
    assert s3.operations.count("GetObjectTagging") == 1


def test_an_overwritten_object_is_a_different_one(s3: Any) -> None:
    s3.put_object(Bucket="artifacts", Key="overwritten", Body=b"first")
    first = pin(s3, one("s3://artifacts/overwritten"), UPSTREAM)[0]

    s3.put_object(Bucket="artifacts", Key="overwritten", Body=b"other")
    other = pin(s3, one("s3://artifacts/overwritten"), UPSTREAM)[0]

    assert first.etag != other.etag
    assert first.content != other.content


@pytest.mark.parametrize("version", [{}, {"x-amz-version-id": "null"}])
def test_an_object_in_an_unversioned_bucket_has_no_version(version: dict[str, str]) -> None:
    assert pinned(Object(**version)).version_id is None


@pytest.mark.parametrize("uri", ["s3://artifacts/weights", "s3://artifacts/weights/"])
def test_all_objects_under_a_prefix_are_pinned_in_order_and_no_others(s3: Any, uri: str) -> None:
    for key in ("b.bin", "a+b &=%?#.bin", "deep/größe.bin", "", "deep/"):
        s3.put_object(Bucket="artifacts", Key=f"weights/{key}", Body=key.encode())
    s3.put_object(Bucket="artifacts", Key="weights-old/c.bin", Body=b"old")

    found = pin(s3, many(uri), UPSTREAM)

    assert [one.name for one in found] == ["a+b &=%?#.bin", "b.bin", "deep/größe.bin"]
    assert [one.key for one in found] == [f"weights/{one.name}" for one in found]


def test_a_prefix_with_several_pages_is_pinned_completely_and_concurrently() -> None:
    s3 = Object()
    s3.page, s3.delay = 100, 0.01
    for number in range(1000):
        s3.put("artifacts", f"weights/{number:05}", 1)

    found = pin_in(s3, many("s3://artifacts/weights/"))

    assert [one.name for one in found] == [f"{number:05}" for number in range(1000)]
    assert 32 < s3.most_at_once <= REQUESTS_IN_FLIGHT


def test_the_message_is_about_the_object_that_failed() -> None:
    s3 = Object()
    for number in range(300):
        s3.put("artifacts", f"weights/{number:05}", 1)
    s3.fault = lambda request, _: "NoSuchKey" if request.key.endswith("150") else ""

    assert (
        refusal(s3, many("s3://artifacts/weights/"))
        == "s3://artifacts/weights/00150 does not exist. Check the URI, and create the object again if it was deleted."
    )


def test_a_prefix_that_contains_only_folders_is_refused(s3: Any) -> None:
    s3.put_object(Bucket="artifacts", Key="folders/", Body=b"")
    s3.put_object(Bucket="artifacts", Key="folders/deep/", Body=b"")

    for uri in ("s3://artifacts/folders/", "s3://artifacts/nothing-at-all/"):
        assert f"S3Uri is {uri}, which contains no objects" in refusal(s3, many(uri))


@pytest.mark.parametrize("bucket", ["artifacts", "no-such-bucket"])
def test_an_object_that_does_not_exist_is_refused(s3: Any, bucket: str) -> None:
    uri = f"s3://{bucket}/no/such/key"

    assert (
        refusal(s3, one(uri)) == f"{uri} does not exist. Check the URI, and create the object again if it was deleted."
    )


def test_a_prefix_in_a_bucket_that_does_not_exist_is_refused(s3: Any) -> None:
    assert "does not exist" in refusal(s3, many("s3://no-such-bucket/weights/"))


@pytest.mark.parametrize(
    ("head", "archive"),
    [
        ({"x-amz-storage-class": "GLACIER"}, "GLACIER"),
        ({"x-amz-storage-class": "DEEP_ARCHIVE"}, "DEEP_ARCHIVE"),
        ({"x-amz-storage-class": "GLACIER", "x-amz-restore": 'ongoing-request="true"'}, "GLACIER"),
        ({"x-amz-storage-class": "INTELLIGENT_TIERING", "x-amz-archive-status": "ARCHIVE_ACCESS"}, "ARCHIVE_ACCESS"),
        (
            {"x-amz-storage-class": "INTELLIGENT_TIERING", "x-amz-archive-status": "DEEP_ARCHIVE_ACCESS"},
            "DEEP_ARCHIVE_ACCESS",
        ),
    ],
)
def test_an_archived_object_is_refused_until_it_is_restored(head: dict[str, str], archive: str) -> None:
    assert refusal(Object(**head), one("s3://artifacts/model.tar.gz")) == (
        f"s3://artifacts/model.tar.gz is archived in {archive}. Restore the object, and start the promotion again."
    )


@pytest.mark.parametrize(
    "head",
    [
        {},
        {"x-amz-storage-class": "STANDARD_IA"},
        {"x-amz-storage-class": "GLACIER_IR"},
        {"x-amz-storage-class": "INTELLIGENT_TIERING"},
        {
            "x-amz-storage-class": "GLACIER",
            "x-amz-restore": 'ongoing-request="false", expiry-date="Fri, 1 Jan 2027 00:00:00 GMT"',
        },
    ],
)
def test_a_readable_object_is_not_refused_as_archived(head: dict[str, str]) -> None:
    assert pinned(Object(**head)).size == 1000


@pytest.mark.parametrize("name", ["model.tar.gz", "sourcedir.tgz"])
def test_an_empty_archive_is_refused(name: str) -> None:
    message = refusal(Object(content_length="0"), one(f"s3://artifacts/{name}"))

    assert message.startswith(f"s3://artifacts/{name} is empty")


def test_an_empty_file_of_another_kind_is_pinned() -> None:
    assert pinned(Object(content_length="0"), "__init__.py").size == 0


@pytest.mark.parametrize(
    ("head", "algorithm", "checksum"),
    [
        ({"x-amz-checksum-crc64nvme": "c64", "x-amz-checksum-type": "FULL_OBJECT"}, "CRC64NVME", "c64"),
        ({"x-amz-checksum-crc32": "c32", "x-amz-checksum-type": "FULL_OBJECT"}, "CRC32", "c32"),
        ({"x-amz-checksum-crc32c": "c32c", "x-amz-checksum-type": "FULL_OBJECT"}, "CRC32C", "c32c"),
        ({"x-amz-checksum-crc32": "c32", "x-amz-checksum-crc64nvme": "c64"}, "CRC64NVME", "c64"),
        # A multipart upload has no full-object checksum of these types.
        ({"x-amz-checksum-sha256": "sha", "x-amz-checksum-type": "FULL_OBJECT"}, None, None),
        ({"x-amz-checksum-crc32": "c32-7", "x-amz-checksum-type": "COMPOSITE"}, None, None),
        ({}, None, None),
    ],
)
def test_only_a_full_object_checksum_is_pinned(
    head: dict[str, str], algorithm: str | None, checksum: str | None
) -> None:
    found = pinned(Object(**head))

    assert (found.checksum_algorithm, found.checksum) == (algorithm, checksum)


@pytest.mark.parametrize("reference", [one("s3://artifacts/model.tar.gz"), many("s3://artifacts/weights")])
def test_the_bucket_must_belong_to_the_expected_account(reference: Reference) -> None:
    s3 = Object()
    s3.put("artifacts", "weights/a.bin", 1)
    s3.owners["artifacts"] = "999999999999"

    message = refusal(s3, reference)

    assert f"the bucket artifacts does not belong to account {UPSTREAM}" in message
    assert "artifacts=<account of the owner> in UpstreamBuckets" in message
    assert [pinned.owner for pinned in pin_in(s3, reference, "999999999999")] == ["999999999999"]


def test_a_bucket_that_denies_every_request_is_not_said_to_have_another_owner() -> None:
    s3 = denied("HeadObject")
    s3.fault = lambda _, __: "AccessDenied"

    message = refusal(s3, one("s3://artifacts/model.tar.gz"))

    assert f"add this statement for the roles under /model-promotion/ in account {UPSTREAM}" in message
    assert f"check that the bucket belongs to account {UPSTREAM}" in message


def denied(operation: str) -> Object:
    s3 = Object()
    s3.put("artifacts", "weights/a.bin", 1)
    s3.fault = lambda request, _: "AccessDenied" if request.operation == operation else ""
    return s3


KEY = "arn:aws:kms:eu-west-1:111111111111:key/00000000-0000-0000-0000-000000000001"


def encrypted(*, for_reader: bool = True) -> Object:
    """Return an S3 whose KMS key denies this stage, and perhaps the reader role as well."""
    s3 = Object(x_amz_server_side_encryption_aws_kms_key_id=KEY, x_amz_checksum_crc32="c32")
    s3.checks_signatures = False

    def fault(request: Request, _: int) -> str:
        is_reader = "Credential=READER/" in request.headers["authorization"]
        decrypts = request.operation == "GetObject" or "x-amz-checksum-mode" in request.headers
        return "AccessDenied" if decrypts and not (is_reader and for_reader) else ""

    s3.fault = fault
    return s3


def reader() -> Reader:
    def connect() -> Any:
        credentials = {"aws_access_key_id": "READER", "aws_secret_access_key": "secret"}
        return boto3.client("s3", endpoint_url=client().meta.endpoint_url, region_name="eu-west-1", **credentials)

    return Reader(connect, "execution")


def pin_with_reader(s3: S3, reference: Reference) -> list[PinnedObject]:
    async def scenario() -> list[PinnedObject]:
        async with served(s3):
            return await pin_on_loop(client(), reference, UPSTREAM, reader())

    return idle_clock.run(scenario())


def test_an_object_whose_key_denies_the_stage_is_pinned_by_the_reader_role() -> None:
    (found,) = pin_with_reader(encrypted(), one("s3://artifacts/reviews/model.tar.gz"))

    assert (found.checksum_algorithm, found.checksum) == ("CRC32", "c32")
    assert found.incoming.startswith("incoming/execution/")


def test_a_key_that_denies_the_stage_is_found_if_a_head_only_lacks_the_checksum() -> None:
    s3 = encrypted()
    s3.head.pop("x-amz-checksum-crc32")
    s3.fault = lambda request, _: (
        "AccessDenied" if request.operation == "GetObject" and "READER" not in request.headers["authorization"] else ""
    )

    (found,) = pin_with_reader(s3, one("s3://artifacts/reviews/model.tar.gz"))

    assert found.incoming


@pytest.mark.parametrize("fault", ["", "InvalidRequest"], ids=["readable", "empty"])
def test_an_object_without_a_checksum_that_the_stage_can_decrypt_is_pinned(fault: str) -> None:
    s3 = Object(x_amz_server_side_encryption_aws_kms_key_id=KEY)
    s3.fault = lambda request, _: fault if request.operation == "GetObject" else ""

    assert not pinned(s3).incoming


def test_an_object_that_the_stage_can_decrypt_is_not_read_by_the_reader_role() -> None:
    s3 = Object(x_amz_server_side_encryption_aws_kms_key_id=KEY, x_amz_checksum_sha256="sha")
    s3.checks_signatures = False

    (found,) = pin_with_reader(s3, one("s3://artifacts/reviews/model.tar.gz"))

    assert not found.incoming
    assert all("READER" not in request.headers["authorization"] for request in s3.requests)


def test_a_missing_permission_for_an_object_is_not_replaced_by_the_reader_role() -> None:
    s3 = encrypted()
    s3.fault = lambda request, _: "AccessDenied" if request.operation in ("HeadObject", "GetObject") else ""

    with pytest.raises(PromotionRefusedError, match="add this statement"):
        pin_with_reader(s3, one("s3://artifacts/reviews/model.tar.gz"))

    assert all("READER" not in request.headers["authorization"] for request in s3.requests)


def test_a_key_that_denies_the_stage_is_refused_with_everything_that_helps() -> None:
    message = refusal(encrypted(), one("s3://artifacts/reviews/model.tar.gz"))

    assert f"s3://artifacts/reviews/model.tar.gz is encrypted with the KMS key {KEY}" in message
    assert "IncomingCopies=true" in message
    assert "CreateArtifactKey=true" in message
    assert json.dumps({"Effect": "Allow", "Action": "kms:Decrypt", "Resource": KEY}) in message


def test_a_key_that_denies_the_reader_role_as_well_is_refused_with_the_parameter() -> None:
    with pytest.raises(PromotionRefusedError) as error:
        pin_with_reader(encrypted(for_reader=False), one("s3://artifacts/reviews/model.tar.gz"))

    assert "the reader role of the upstream account cannot read the object either: AccessDenied" in str(error.value)
    assert "CopiedBuckets" in str(error.value)


def test_an_object_that_disappears_before_the_reader_role_sees_it_does_not_exist() -> None:
    s3 = encrypted()
    denies = s3.fault
    s3.fault = lambda request, number: (
        "NoSuchKey" if "Credential=READER/" in request.headers["authorization"] else denies(request, number)
    )

    with pytest.raises(PromotionRefusedError, match="does not exist"):
        pin_with_reader(s3, one("s3://artifacts/reviews/model.tar.gz"))


def test_a_denied_object_is_refused_with_the_missing_statement() -> None:
    message = refusal(denied("HeadObject"), one("s3://artifacts/reviews/model.tar.gz"))

    statement = json.loads(message[message.index("{") : message.rindex("}") + 1])
    assert "s3://artifacts/reviews/model.tar.gz cannot be read: 403: Forbidden" in message
    assert statement == {
        "Effect": "Allow",
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::artifacts/reviews/model.tar.gz",
    }
    assert "Its KMS key may also deny kms:Decrypt." in message


def test_a_denied_object_is_refused_with_the_message_of_a_get() -> None:
    s3 = denied("HeadObject")
    s3.fault = lambda request, _: "AccessDenied" if request.operation in ("HeadObject", "GetObject") else ""

    assert "cannot be read: AccessDenied: AccessDenied." in refusal(s3, one("s3://artifacts/weights/a.bin"))


def test_a_denied_listing_is_refused_with_the_missing_statement() -> None:
    message = refusal(denied("ListObjectsV2"), many("s3://artifacts/weights/"))

    assert '{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::artifacts"}' in message
    assert "s3://artifacts/weights/ cannot be read" in message


@pytest.mark.parametrize("fault", ["SlowDown", "InternalError", "drop before"])
@pytest.mark.parametrize("reference", [one("s3://artifacts/weights/a.bin"), many("s3://artifacts/weights/")])
def test_transient_errors_of_s3_are_retried(monkeypatch: pytest.MonkeyPatch, fault: str, reference: Reference) -> None:
    monkeypatch.setattr("promotion.copying.s3_client._FIRST_PAUSE_SECONDS", 0)
    s3 = denied("none")
    s3.fault = lambda _, number: fault if number % 2 else ""

    assert [one.key for one in pin_in(s3, reference)] == ["weights/a.bin"]


@pytest.mark.parametrize("operation", ["HeadObject", "ListObjectsV2"])
def test_persistent_transient_errors_of_s3_are_raised(monkeypatch: pytest.MonkeyPatch, operation: str) -> None:
    monkeypatch.setattr("promotion.copying.s3_client._FIRST_PAUSE_SECONDS", 0)
    s3 = denied("none")
    s3.fault = lambda request, _: "SlowDown" if request.operation == operation else ""

    with pytest.raises(TransientError, match=f"{operation} of s3://artifacts/.* failed 8 times: "):
        pin_in(s3, many("s3://artifacts/weights/"))


def test_an_unknown_error_is_raised_unchanged() -> None:
    s3 = Object()
    s3.fault = lambda *_: "SomethingNew"

    with pytest.raises(ClientError, match="SomethingNew"):
        pin_in(s3, many("s3://artifacts/m/"))


def test_an_object_with_a_customer_provided_key_is_refused_with_an_instruction() -> None:
    s3 = Object()
    s3.fault = lambda request, _: "InvalidRequest" if request.operation == "HeadObject" else ""

    message = refusal(s3, one("s3://artifacts/model.tar.gz"))

    assert message.startswith("s3://artifacts/model.tar.gz cannot be read: S3 rejected HeadObject with status 400")
    assert "(SSE-C). Copy the object with another type of encryption" in message


@pytest.mark.parametrize("is_multipart", [False, True])
def test_an_object_in_another_region_is_pinned_there_and_copied_from_the_stages_region(
    is_multipart: bool,
) -> None:
    s3 = S3()
    s3.regions["upstream"] = "us-west-2"
    stored = s3.put("upstream", "reviews/model.tar.gz", 1000)

    (found,) = pin_in(s3, one("s3://upstream/reviews/model.tar.gz"))
    summary = copy(s3, dataclasses.replace(found, target="models/x"), threshold=1 if is_multipart else 2000)

    assert s3.objects["stage", "models/x"].content == stored.content
    assert summary.verified_by == {"CRC64NVME": 1}
    assert {(request.bucket, request.region) for request in s3.requests[1:]} == {
        ("upstream", "us-west-2"),
        ("stage", "eu-west-1"),
    }


@pytest.mark.parametrize("is_multipart", [False, True])
def test_the_pinned_attributes_of_an_object_are_those_of_its_copy(is_multipart: bool) -> None:
    s3 = S3()
    attributes = COPIED | {"x-amz-tagging": "team=a%2Bb&cost%20centre=1", "x-amz-storage-class": "STANDARD_IA"}
    stored = s3.put("upstream", "reviews/model.tar.gz", 1000, **attributes)

    (found,) = pin_in(s3, one("s3://upstream/reviews/model.tar.gz"))
    copy(s3, dataclasses.replace(found, target="models/x"), threshold=1 if is_multipart else 2000)

    assert s3.objects["stage", "models/x"].attributes == stored.attributes == attributes


def test_a_model_larger_than_the_stage_copies_is_refused_with_the_parameter() -> None:
    objects = [PinnedObject("upstream", "a", "a", 600, '"1"', None, None, None)] * 2

    assert_within_limits(objects, MAXIMUM_BYTES)
    assert_within_limits(objects, 1200)
    with pytest.raises(PromotionRefusedError) as error:
        assert_within_limits(objects, 1199)

    assert "2 objects of 1,200 bytes" in str(error.value)
    assert "MaximumCopyBytes" in str(error.value)
