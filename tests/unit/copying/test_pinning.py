import dataclasses
import json
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from promotion.copying.manifest import PinnedObject
from promotion.copying.pinning import REQUESTS_IN_FLIGHT, pin, pin_on_loop
from promotion.copying.references import Reference
from promotion.errors import PromotionRefusedError, TransientError
from tests.support import idle_clock
from tests.support.copies import copy
from tests.support.s3_faults import client_error
from tests.support.s3_service import S3, Answer, Request, client, served

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
    """Whatever is asked for is there, and HEAD says of it what it is told to say."""

    def __init__(self, **head: str) -> None:
        super().__init__()
        self.owners["artifacts"] = UPSTREAM
        self.put("artifacts", "reviews/model.tar.gz", 1000, None)
        self.head = {"content-length": "1000", "etag": '"e"'} | {
            name.replace("_", "-"): value for name, value in head.items()
        }

    def head_object(self, request: Request) -> Answer:
        return 200, self.head, ""

    def get_object_tagging(self, request: Request) -> Answer:
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
            attributes={"content-type": "application/x-tar", "x-amz-meta-trained-by": "me"},
        )
    ]


CARRIED = {
    "cache-control": "no-cache",
    "content-disposition": "attachment",
    "content-encoding": "gzip",
    "content-language": "en",
    "content-type": "application/x-tar",
    "expires": "Thu, 01 Dec 2033 16:00:00 GMT",
    "x-amz-meta-trained-by": "me",
}


@pytest.mark.parametrize(
    ("head", "carried"),
    [
        (CARRIED, CARRIED),
        ({"x-amz-storage-class": "INTELLIGENT_TIERING"}, {"x-amz-storage-class": "INTELLIGENT_TIERING"}),
        ({"x-amz-storage-class": "GLACIER_IR"}, {"x-amz-storage-class": "GLACIER_IR"}),
        ({"x-amz-storage-class": "DEEP_ARCHIVE", "x-amz-restore": 'ongoing-request="false"'}, {}),
        ({"x-amz-server-side-encryption": "aws:kms", "x-amz-server-side-encryption-aws-kms-key-id": "theirs"}, {}),
        ({"last-modified": "Thu, 01 Dec 2033 16:00:00 GMT", "accept-ranges": "bytes", "server": "AmazonS3"}, {}),
    ],
)
def test_what_a_copy_has_to_be_given_anew_is_pinned(head: dict[str, str], carried: dict[str, str]) -> None:
    assert pinned(Object(**head)).attributes == carried


def test_tags_are_pinned_as_a_copy_takes_them(s3: Any) -> None:
    for body in (b"1", b"2"):
        s3.put_object(Bucket="versioned", Key="tagged", Body=body, Tagging="team=a%2Bb&cost%20centre=1&empty=")

    (found,) = pin(s3, one("s3://versioned/tagged"), UPSTREAM)

    assert found.attributes["x-amz-tagging"] == "team=a%2Bb&cost%20centre=1&empty="


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    monkeypatch.setattr("promotion.copying.pinning.logger.warning", lambda words, **facts: lines.append({words: facts}))
    return lines


def test_tags_that_may_not_be_read_are_left_out_with_a_line_in_the_log(logged: list[dict[str, Any]]) -> None:
    assert pinned(Object(x_amz_tagging_count="1")).attributes == {}
    assert logged[0]["Tags left out"]["source"] == "s3://artifacts/reviews/model.tar.gz"
    assert "s3:GetObjectTagging" in logged[0]["Tags left out"]["reason"]


def test_that_tags_may_not_be_read_is_known_though_s3_does_not_count_them_then(logged: list[dict[str, Any]]) -> None:
    s3 = Object()
    s3.fault = lambda request, _: "AccessDenied" if request.operation == "GetObjectTagging" else ""
    for number in range(50):
        s3.put("artifacts", f"weights/{number}", 1)

    assert len(pin_in(s3, many("s3://artifacts/weights/"))) == 50
    assert [list(line) for line in logged] == [["Tags left out"]]
    assert s3.operations.count("GetObjectTagging") == 1


def test_an_object_overwritten_later_is_another_one(s3: Any) -> None:
    s3.put_object(Bucket="artifacts", Key="overwritten", Body=b"first")
    first = pin(s3, one("s3://artifacts/overwritten"), UPSTREAM)[0]

    s3.put_object(Bucket="artifacts", Key="overwritten", Body=b"other")
    other = pin(s3, one("s3://artifacts/overwritten"), UPSTREAM)[0]

    assert first.etag != other.etag
    assert first.content != other.content


@pytest.mark.parametrize("version", [{}, {"x-amz-version-id": "null"}])
def test_an_object_of_a_bucket_without_versions_has_none(version: dict[str, str]) -> None:
    assert pinned(Object(**version)).version_id is None


@pytest.mark.parametrize("uri", ["s3://artifacts/weights", "s3://artifacts/weights/"])
def test_everything_below_a_prefix_is_pinned_in_order_and_nothing_beside_it(s3: Any, uri: str) -> None:
    for key in ("b.bin", "a+b &=%?#.bin", "deep/größe.bin", "", "deep/"):
        s3.put_object(Bucket="artifacts", Key=f"weights/{key}", Body=key.encode())
    s3.put_object(Bucket="artifacts", Key="weights-old/c.bin", Body=b"old")

    found = pin(s3, many(uri), UPSTREAM)

    assert [one.name for one in found] == ["a+b &=%?#.bin", "b.bin", "deep/größe.bin"]
    assert [one.key for one in found] == [f"weights/{one.name}" for one in found]


def test_a_prefix_of_more_objects_than_one_page_lists_is_pinned_whole_and_many_at_once() -> None:
    s3 = Object()
    s3.page, s3.delay = 100, 0.01
    for number in range(1000):
        s3.put("artifacts", f"weights/{number:05}", 1)

    found = pin_in(s3, many("s3://artifacts/weights/"))

    assert [one.name for one in found] == [f"{number:05}" for number in range(1000)]
    assert 32 < s3.most_at_once <= REQUESTS_IN_FLIGHT


def test_what_goes_wrong_with_one_object_of_many_is_what_is_said() -> None:
    s3 = Object()
    for number in range(300):
        s3.put("artifacts", f"weights/{number:05}", 1)
    s3.fault = lambda request, _: "NoSuchKey" if request.key.endswith("150") else ""

    assert refusal(s3, many("s3://artifacts/weights/")) == "s3://artifacts/weights/00150 does not exist (any more)."


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
        f"s3://artifacts/model.tar.gz is archived in {archive}. Restore it, then promote again."
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
def test_an_object_that_can_be_read_is_not_taken_for_archived(head: dict[str, str]) -> None:
    assert pinned(Object(**head)).size == 1000


@pytest.mark.parametrize("name", ["model.tar.gz", "sourcedir.tgz"])
def test_an_empty_archive_is_refused(name: str) -> None:
    message = refusal(Object(content_length="0"), one(f"s3://artifacts/{name}"))

    assert message == f"s3://artifacts/{name} is an empty file, which no container can unpack."


def test_an_empty_file_of_another_kind_is_pinned() -> None:
    assert pinned(Object(content_length="0"), "__init__.py").size == 0


@pytest.mark.parametrize(
    ("head", "algorithm", "checksum"),
    [
        ({"x-amz-checksum-crc64nvme": "c64", "x-amz-checksum-type": "FULL_OBJECT"}, "CRC64NVME", "c64"),
        ({"x-amz-checksum-crc32": "c32", "x-amz-checksum-type": "FULL_OBJECT"}, "CRC32", "c32"),
        ({"x-amz-checksum-crc32c": "c32c", "x-amz-checksum-type": "FULL_OBJECT"}, "CRC32C", "c32c"),
        ({"x-amz-checksum-crc32": "c32", "x-amz-checksum-crc64nvme": "c64"}, "CRC64NVME", "c64"),
        # Of these there is none over a whole object that was uploaded in parts.
        ({"x-amz-checksum-sha256": "sha", "x-amz-checksum-type": "FULL_OBJECT"}, None, None),
        ({"x-amz-checksum-crc32": "c32-7", "x-amz-checksum-type": "COMPOSITE"}, None, None),
        ({}, None, None),
    ],
)
def test_only_a_checksum_over_the_whole_object_counts(
    head: dict[str, str], algorithm: str | None, checksum: str | None
) -> None:
    found = pinned(Object(**head))

    assert (found.checksum_algorithm, found.checksum) == (algorithm, checksum)


def test_the_bucket_has_to_belong_to_the_upstream_account() -> None:
    s3, reference = Object(), one("s3://artifacts/model.tar.gz")
    s3.owners["artifacts"] = "999999999999"

    assert "It may also be a bucket of another account." in refusal(s3, reference)
    assert pin_in(s3, reference, "999999999999")


def denied(operation: str) -> Object:
    s3 = Object()
    s3.put("artifacts", "weights/a.bin", 1)
    s3.fault = lambda request, _: "AccessDenied" if request.operation == operation else ""
    return s3


def test_a_denied_object_is_refused_with_the_statement_that_is_missing() -> None:
    message = refusal(denied("HeadObject"), one("s3://artifacts/reviews/model.tar.gz"))

    statement = json.loads(message[message.index("{") : message.rindex("}") + 1])
    assert "s3://artifacts/reviews/model.tar.gz may not be read: 403: Forbidden" in message
    assert statement == {
        "Effect": "Allow",
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::artifacts/reviews/model.tar.gz",
    }
    assert "kms:Decrypt on its key" in message


def test_a_denied_object_is_told_in_the_words_that_s3_has_for_a_get() -> None:
    s3 = denied("HeadObject")
    s3.fault = lambda request, _: "AccessDenied" if request.operation in ("HeadObject", "GetObject") else ""

    assert "may not be read: AccessDenied: AccessDenied." in refusal(s3, one("s3://artifacts/weights/a.bin"))


def test_a_denied_listing_is_refused_with_the_statement_that_is_missing() -> None:
    message = refusal(denied("ListObjectsV2"), many("s3://artifacts/weights/"))

    assert '{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::artifacts"}' in message
    assert "s3://artifacts/weights/ may not be read" in message


@pytest.mark.parametrize("fault", ["SlowDown", "InternalError", "drop before"])
@pytest.mark.parametrize("reference", [one("s3://artifacts/weights/a.bin"), many("s3://artifacts/weights/")])
def test_troubles_of_s3_that_pass_are_overcome(
    monkeypatch: pytest.MonkeyPatch, fault: str, reference: Reference
) -> None:
    monkeypatch.setattr("promotion.copying.s3_client._FIRST_PAUSE_SECONDS", 0)
    s3 = denied("none")
    s3.fault = lambda _, number: fault if number % 2 else ""

    assert [one.key for one in pin_in(s3, reference)] == ["weights/a.bin"]


@pytest.mark.parametrize("operation", ["HeadObject", "ListObjectsV2"])
def test_troubles_of_s3_that_do_not_pass_are_left_to_the_next_try(
    monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    monkeypatch.setattr("promotion.copying.s3_client._FIRST_PAUSE_SECONDS", 0)
    s3 = denied("none")
    s3.fault = lambda request, _: "SlowDown" if request.operation == operation else ""

    with pytest.raises(TransientError, match=f"{operation} of s3://artifacts/.* failed 8 times: "):
        pin_in(s3, many("s3://artifacts/weights/"))


def test_an_error_that_is_not_known_is_raised_as_it_is() -> None:
    s3 = Object()
    s3.fault = lambda *_: "SomethingNew"

    with pytest.raises(ClientError, match="SomethingNew"):
        pin_in(s3, many("s3://artifacts/m/"))


def test_an_object_that_s3_gives_only_with_its_key_is_refused_with_what_to_do() -> None:
    s3 = Object()
    s3.fault = lambda request, _: "InvalidRequest" if request.operation == "HeadObject" else ""

    message = refusal(s3, one("s3://artifacts/model.tar.gz"))

    assert message.startswith("s3://artifacts/model.tar.gz cannot be read: S3 answers a HEAD of it with 400")
    assert "(SSE-C). Copy it into an object that is encrypted in another way" in message


@pytest.mark.parametrize("is_copied_by_parts", [False, True])
def test_a_bucket_in_another_region_is_read_there_and_copied_by_requests_to_the_stages_own(
    is_copied_by_parts: bool,
) -> None:
    s3 = S3()
    s3.regions["upstream"] = "us-west-2"
    stored = s3.put("upstream", "reviews/model.tar.gz", 1000)

    (found,) = pin_in(s3, one("s3://upstream/reviews/model.tar.gz"))
    summary = copy(s3, dataclasses.replace(found, target="models/x"), threshold=1 if is_copied_by_parts else 2000)

    assert s3.objects["stage", "models/x"].content == stored.content
    assert summary.verified_by == {"CRC64NVME": 1}
    assert {(request.bucket, request.region) for request in s3.requests[1:]} == {
        ("upstream", "us-west-2"),
        ("stage", "eu-west-1"),
    }


@pytest.mark.parametrize("is_copied_by_parts", [False, True])
def test_what_is_pinned_of_an_object_is_what_its_copy_is_given(is_copied_by_parts: bool) -> None:
    s3 = S3()
    attributes = CARRIED | {"x-amz-tagging": "team=a%2Bb&cost%20centre=1", "x-amz-storage-class": "STANDARD_IA"}
    stored = s3.put("upstream", "reviews/model.tar.gz", 1000, **attributes)

    (found,) = pin_in(s3, one("s3://upstream/reviews/model.tar.gz"))
    copy(s3, dataclasses.replace(found, target="models/x"), threshold=1 if is_copied_by_parts else 2000)

    assert s3.objects["stage", "models/x"].attributes == stored.attributes == attributes
