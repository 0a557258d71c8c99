import base64
import datetime
import hashlib
import json
import threading
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from awscrt import checksums
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

from embedded_aws.aws import EmbeddedAws
from embedded_aws.iam import clients
from embedded_aws.kernel import accounts, sdk

DEV, QA = accounts.ACCOUNTS["dev"], accounts.ACCOUNTS["qa"]
MIB = 1024**2
GIB = 1024**3
REGION = {"LocationConstraint": accounts.REGION}
YESTERDAY = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
TOMORROW = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)


@pytest.fixture
def s3(aws: EmbeddedAws) -> Any:
    return clients.client_as_operator("s3", QA)


@pytest.fixture
def bucket(s3: Any, name: str) -> str:
    s3.create_bucket(Bucket=name, CreateBucketConfiguration=REGION)
    return name


@pytest.fixture
def versioned(s3: Any, bucket: str) -> str:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return bucket


@pytest.fixture
def other_bucket(aws: EmbeddedAws, bucket: str) -> str:
    """Create a bucket in another account with public access."""
    dev = clients.client_as_operator("s3", DEV)
    name = f"{bucket}-other_bucket"
    dev.create_bucket(Bucket=name, CreateBucketConfiguration=REGION)
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:*"}
    statement["Resource"] = [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"]  # type: ignore[assignment]
    dev.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    return name


def refused(status: int, code: str, call: Callable[..., Any], **arguments: Any) -> str:
    """Assert a call's error, and return its message."""
    with pytest.raises(ClientError) as raised:
        call(**arguments)
    error = raised.value.response
    assert (error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Code"]) == (status, code)
    return str(error["Error"]["Message"])


def crc64(data: bytes) -> str:
    return base64.b64encode(checksums.crc64nvme(data).to_bytes(8, "big")).decode()


def upload(
    s3: Any, bucket: str, key: str, parts: list[bytes], complete: dict[str, Any] | None = None, **create: Any
) -> Any:
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key=key, **create)["UploadId"]
    place = {"Bucket": bucket, "Key": key, "UploadId": upload_id}
    algorithm = {name: value for name, value in create.items() if name == "ChecksumAlgorithm"}
    done = []
    for number, body in enumerate(parts, start=1):
        response = s3.upload_part(**place, PartNumber=number, Body=body, **algorithm)
        done.append({"PartNumber": number, "ETag": response["ETag"]})
    return s3.complete_multipart_upload(**place, MultipartUpload={"Parts": done}, **(complete or {}))


def compose(s3: Any, bucket: str, key: str, sources: list[dict[str, Any]], **create: Any) -> Any:
    """Create an object of copied parts, which needs no memory for its content."""
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key=key, **create)["UploadId"]
    place = {"Bucket": bucket, "Key": key, "UploadId": upload_id}
    done = []
    for number, source in enumerate(sources, start=1):
        response = s3.upload_part_copy(**place, PartNumber=number, **source)
        done.append({"PartNumber": number, "ETag": response["CopyPartResult"]["ETag"]})
    return s3.complete_multipart_upload(**place, MultipartUpload={"Parts": done})


# Copying


CopyCall = Callable[..., Any]


@pytest.fixture(params=["copy_object", "upload_part_copy"])
def copy(request: pytest.FixtureRequest, s3: Any, bucket: str) -> CopyCall:
    """Return one of the two copy operations, with the key `copy` of the bucket as its target."""
    arguments: dict[str, Any] = {"Bucket": bucket, "Key": "copy"}
    if request.param == "upload_part_copy":
        upload_id = s3.create_multipart_upload(**arguments)["UploadId"]
        arguments |= {"UploadId": upload_id, "PartNumber": 1}
    return lambda **more: getattr(s3, request.param)(**arguments, **more)


def test_a_copy_depends_on_the_conditions_on_its_source(s3: Any, bucket: str, copy: CopyCall) -> None:
    etag = s3.put_object(Bucket=bucket, Key="source", Body=b"1")["ETag"]
    source = {"CopySource": {"Bucket": bucket, "Key": "source"}}

    for held in (
        {"CopySourceIfMatch": etag},
        {"CopySourceIfMatch": etag.strip('"')},
        {"CopySourceIfNoneMatch": '"other"'},
        {"CopySourceIfModifiedSince": YESTERDAY},
        {"CopySourceIfUnmodifiedSince": TOMORROW},
        {"CopySourceIfMatch": etag, "CopySourceIfUnmodifiedSince": YESTERDAY},
    ):
        copy(**source, **held)
    for broken in (
        {"CopySourceIfMatch": '"other"'},
        {"CopySourceIfNoneMatch": etag},
        {"CopySourceIfModifiedSince": TOMORROW},
        {"CopySourceIfUnmodifiedSince": YESTERDAY},
        {"CopySourceIfNoneMatch": etag, "CopySourceIfModifiedSince": YESTERDAY},
    ):
        message = refused(412, "PreconditionFailed", copy, **source, **broken)
        assert message == "At least one of the pre-conditions you specified did not hold"


def test_a_copy_checks_the_expected_bucket_owners(s3: Any, bucket: str, other_bucket: str, copy: CopyCall) -> None:
    s3.put_object(Bucket=other_bucket, Key="source", Body=b"1")
    source = {"CopySource": {"Bucket": other_bucket, "Key": "source"}}

    copy(**source, ExpectedBucketOwner=QA, ExpectedSourceBucketOwner=DEV)
    refused(403, "AccessDenied", copy, **source, ExpectedSourceBucketOwner=QA)
    refused(403, "AccessDenied", copy, **source, ExpectedBucketOwner=DEV)


def test_a_copy_reads_the_specified_version(s3: Any, versioned: str) -> None:
    old = s3.put_object(Bucket=versioned, Key="a key", Body=b"old")["VersionId"]
    new = s3.put_object(Bucket=versioned, Key="a key", Body=b"new")["VersionId"]
    source = {"Bucket": versioned, "Key": "a key"}

    answers = [
        s3.copy_object(Bucket=versioned, Key="copy", CopySource=place)
        for place in (source | {"VersionId": old}, source)
    ]

    assert [response["CopySourceVersionId"] for response in answers] == [old, new]
    bodies = [
        s3.get_object(Bucket=versioned, Key="copy", VersionId=response["VersionId"])["Body"].read()
        for response in answers
    ]
    assert bodies == [b"old", b"new"]


def test_a_missing_copy_source_is_an_error(s3: Any, versioned: str, copy: CopyCall) -> None:
    s3.put_object(Bucket=versioned, Key="deleted", Body=b"1")
    marker = s3.delete_object(Bucket=versioned, Key="deleted")["VersionId"]
    for code, source in (
        ("NoSuchKey", {"Bucket": versioned, "Key": "missing"}),
        ("NoSuchKey", {"Bucket": versioned, "Key": "deleted"}),
        ("NoSuchVersion", {"Bucket": versioned, "Key": "deleted", "VersionId": "x" * 32}),
        ("NoSuchBucket", {"Bucket": f"{versioned}-missing", "Key": "missing"}),
    ):
        refused(404, code, copy, CopySource=source)
    source = {"Bucket": versioned, "Key": "deleted", "VersionId": marker}
    assert "delete marker" in refused(400, "InvalidRequest", copy, CopySource=source)


@pytest.mark.parametrize(
    "key", ["a+b", "a & b=c", "100%", "100%25", "a#b", "a?versionId=b", "ä/ 日本", "a//b", "~'()*!,;:@$"]
)
def test_special_characters_in_keys_are_preserved(s3: Any, bucket: str, key: str, copy: CopyCall) -> None:
    s3.put_object(Bucket=bucket, Key=key, Body=b"content")

    copy(CopySource={"Bucket": bucket, "Key": key})
    s3.copy_object(Bucket=bucket, Key=f"copies/{key}", CopySource={"Bucket": bucket, "Key": key})

    listed = s3.list_objects_v2(Bucket=bucket, Prefix=f"copies/{key}", EncodingType="url")
    assert [item["Key"] for item in s3.list_objects_v2(Bucket=bucket, Prefix=f"copies/{key}")["Contents"]] == [
        f"copies/{key}"
    ]
    assert listed["EncodingType"] == "url"
    assert s3.get_object(Bucket=bucket, Key=f"copies/{key}")["Body"].read() == b"content"
    assert s3.head_object(Bucket=bucket, Key=key)["ContentLength"] == 7


def test_an_unencoded_plus_in_a_copy_source_is_a_space(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a b", Body=b"space")
    s3.put_object(Bucket=bucket, Key="a+b", Body=b"plus")

    def send_unencoded(params: Any, **_: object) -> None:
        params["headers"]["x-amz-copy-source"] = f"{bucket}/a+b"

    s3.meta.events.register("before-call.s3.CopyObject", send_unencoded)
    try:
        s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "a+b"})
    finally:
        s3.meta.events.unregister("before-call.s3.CopyObject", send_unencoded)

    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == b"space"


def test_a_copy_keeps_or_replaces_metadata_and_tags(s3: Any, bucket: str, other_bucket: str) -> None:
    s3.put_object(
        Bucket=other_bucket,
        Key="source",
        Body=b"1",
        ContentType="application/gzip",
        Metadata={"framework": "xgboost"},
        Tagging="a=1&b=2",
        StorageClass="STANDARD_IA",
    )
    source = {"CopySource": {"Bucket": other_bucket, "Key": "source"}, "Bucket": bucket}

    s3.copy_object(**source, Key="same", Metadata={"ignored": "yes"}, Tagging="ignored=yes")
    s3.copy_object(
        **source,
        Key="other",
        MetadataDirective="REPLACE",
        Metadata={"replaced": "yes"},
        TaggingDirective="REPLACE",
        Tagging="c=3",
    )

    same, other = (s3.head_object(Bucket=bucket, Key=key) for key in ("same", "other"))
    assert (same["ContentType"], same["Metadata"]) == ("application/gzip", {"framework": "xgboost"})
    assert (other["ContentType"], other["Metadata"]) == ("binary/octet-stream", {"replaced": "yes"})
    assert "StorageClass" not in same
    tags = [s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"] for key in ("same", "other")]
    assert tags == [[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}], [{"Key": "c", "Value": "3"}]]


def test_a_copy_to_the_same_key_must_change_something(s3: Any, bucket: str) -> None:
    place = {"Bucket": bucket, "Key": "key"}
    s3.put_object(**place, Body=b"1", Tagging="a=1")

    refused(400, "InvalidRequest", s3.copy_object, **place, CopySource=place)
    s3.copy_object(**place, CopySource=place, StorageClass="STANDARD_IA")

    assert s3.head_object(**place)["StorageClass"] == "STANDARD_IA"
    assert s3.get_object_tagging(**place)["TagSet"] == [{"Key": "a", "Value": "1"}]


def test_tags_are_visible_across_accounts_and_deleted_with_their_object(s3: Any, other_bucket: str) -> None:
    dev = clients.client_as_operator("s3", DEV)
    dev.put_object(Bucket=other_bucket, Key="key", Body=b"1", Tagging="a=1")
    assert s3.get_object_tagging(Bucket=other_bucket, Key="key")["TagSet"] == [{"Key": "a", "Value": "1"}]

    dev.delete_object(Bucket=other_bucket, Key="key")
    dev.put_object(Bucket=other_bucket, Key="other", Body=b"2")
    dev.copy_object(Bucket=other_bucket, Key="key", CopySource={"Bucket": other_bucket, "Key": "other"})
    assert s3.get_object_tagging(Bucket=other_bucket, Key="key")["TagSet"] == []


@pytest.mark.parametrize("storage_class", ["GLACIER", "DEEP_ARCHIVE"])
def test_an_archived_object_must_be_restored_before_reads_and_copies(
    s3: Any, bucket: str, copy: CopyCall, storage_class: str, request: pytest.FixtureRequest
) -> None:
    place = {"Bucket": bucket, "Key": "source"}
    s3.put_object(**place, Body=b"cold", StorageClass=storage_class)
    copied_whole = "copy_object" in request.node.name

    refused(403, "InvalidObjectState", s3.get_object, **place)
    refused(403, "ObjectNotInActiveTierError" if copied_whole else "InvalidObjectState", copy, CopySource=place)
    assert s3.head_object(**place)["StorageClass"] == storage_class
    assert s3.get_object_attributes(**place, ObjectAttributes=["ObjectSize"])["ObjectSize"] == 4

    s3.restore_object(**place, RestoreRequest={"Days": 1})
    while 'ongoing-request="true"' in s3.head_object(**place)["Restore"]:
        pass
    assert s3.get_object(**place)["Body"].read() == b"cold"
    copy(CopySource=place)


def test_a_range_copy_requires_a_source_larger_than_5_mib(s3: Any, bucket: str) -> None:
    data = bytes(range(256)) * (6 * MIB // 256)
    s3.put_object(Bucket=bucket, Key="source", Body=data)
    s3.put_object(Bucket=bucket, Key="small", Body=data[: 5 * MIB])
    place = {"Bucket": bucket, "Key": "copy", "PartNumber": 1}
    place["UploadId"] = s3.create_multipart_upload(Bucket=bucket, Key="copy")["UploadId"]

    def copy(key: str, byte_range: str) -> Any:
        return s3.upload_part_copy(**place, CopySource={"Bucket": bucket, "Key": key}, CopySourceRange=byte_range)

    response = copy("source", f"bytes=7-{6 * MIB - 1}")
    assert response["CopyPartResult"]["ETag"] == f'"{hashlib.md5(data[7:]).hexdigest()}"'  # noqa: S324
    for byte_range in ("7-9", "bytes=7-", "bytes=-7", "bytes=9-7", "bytes=a-b"):
        assert "must be of the form bytes=first-last" in refused(
            400, "InvalidArgument", copy, key="source", byte_range=byte_range
        )
    message = refused(400, "InvalidArgument", copy, key="source", byte_range=f"bytes=7-{6 * MIB}")
    assert message == f"Range specified is not valid for source object of size: {6 * MIB}"
    message = refused(400, "InvalidRequest", copy, key="small", byte_range="bytes=0-9")
    assert message == "The specified copy source is not supported as a byte-range copy source"
    copy("small", f"bytes=0-{5 * MIB - 1}")


# Conditional writes


def test_if_none_match_prevents_overwriting(s3: Any, versioned: str) -> None:
    place = {"Bucket": versioned, "Key": "key"}
    s3.put_object(Bucket=versioned, Key="source", Body=b"copied")

    s3.put_object(**place, Body=b"first", IfNoneMatch="*")
    refused(412, "PreconditionFailed", s3.put_object, **place, Body=b"second", IfNoneMatch="*")
    source = {"Bucket": versioned, "Key": "source"}
    refused(412, "PreconditionFailed", s3.copy_object, **place, CopySource=source, IfNoneMatch="*")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        upload(s3, versioned, "key", [b"third"], {"IfNoneMatch": "*"})
    assert s3.get_object(**place)["Body"].read() == b"first"

    s3.delete_object(**place)
    s3.copy_object(**place, CopySource=source, IfNoneMatch="*")
    assert s3.get_object(**place)["Body"].read() == b"copied"


def test_if_match_overwrites_only_the_expected_object(s3: Any, bucket: str) -> None:
    place = {"Bucket": bucket, "Key": "key"}
    source = {"Bucket": bucket, "Key": "source"}
    s3.put_object(**source, Body=b"copied")
    refused(404, "NoSuchKey", s3.put_object, **place, Body=b"1", IfMatch='"etag"')
    first = s3.put_object(**place, Body=b"1")["ETag"]

    second = s3.put_object(**place, Body=b"2", IfMatch=first)["ETag"]
    refused(412, "PreconditionFailed", s3.put_object, **place, Body=b"3", IfMatch=first)
    refused(412, "PreconditionFailed", s3.copy_object, **place, CopySource=source, IfMatch=first)
    with pytest.raises(ClientError, match="PreconditionFailed"):
        upload(s3, bucket, "key", [b"4"], {"IfMatch": first})
    s3.copy_object(**place, CopySource=source, IfMatch=second)

    assert s3.get_object(**place)["Body"].read() == b"copied"


def test_one_of_several_concurrent_conditional_writes_succeeds(s3: Any, bucket: str) -> None:
    won = []

    def write(number: int) -> None:
        try:
            s3.put_object(Bucket=bucket, Key="key", Body=str(number).encode(), IfNoneMatch="*")
            won.append(number)
        except ClientError:
            pass

    threads = [threading.Thread(target=write, args=[number]) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [str(number).encode() for number in won] == [s3.get_object(Bucket=bucket, Key="key")["Body"].read()]


# Owners


def test_every_operation_checks_the_expected_bucket_owner(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="key", Body=b"1")
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key="key")["UploadId"]
    part = {"UploadId": upload_id, "PartNumber": 1}
    calls: list[tuple[str, dict[str, Any]]] = [
        ("list_objects_v2", {}),
        ("get_bucket_location", {}),
        ("list_multipart_uploads", {}),
        ("put_object", {"Key": "key", "Body": b"2"}),
        ("get_object", {"Key": "key"}),
        ("get_object_tagging", {"Key": "key"}),
        ("get_object_attributes", {"Key": "key", "ObjectAttributes": ["ETag"]}),
        ("delete_object", {"Key": "key"}),
        ("create_multipart_upload", {"Key": "key"}),
        ("upload_part", {"Key": "key", "Body": b"2", **part}),
        ("list_parts", {"Key": "key", "UploadId": upload_id}),
        ("abort_multipart_upload", {"Key": "key", "UploadId": upload_id}),
    ]

    for name, arguments in calls:
        refused(403, "AccessDenied", getattr(s3, name), Bucket=bucket, ExpectedBucketOwner=DEV, **arguments)
    for name, arguments in (("head_bucket", {}), ("head_object", {"Key": "key"})):
        refused(403, "403", getattr(s3, name), Bucket=bucket, ExpectedBucketOwner=DEV, **arguments)
    for name, arguments in calls:
        getattr(s3, name)(Bucket=bucket, ExpectedBucketOwner=QA, **arguments)


# Multipart uploads


def test_a_multipart_upload_creates_an_object_with_its_properties(s3: Any, bucket: str) -> None:
    parts = [b"a" * (5 * MIB), b"b" * 10]

    response = upload(
        s3,
        bucket,
        "key",
        parts,
        ContentType="application/gzip",
        Metadata={"framework": "xgboost"},
        Tagging="a=1",
        StorageClass="STANDARD_IA",
    )

    head = s3.head_object(Bucket=bucket, Key="key")
    digests = b"".join(hashlib.md5(part).digest() for part in parts)  # noqa: S324
    assert response["ETag"] == head["ETag"] == f'"{hashlib.md5(digests).hexdigest()}-2"'  # noqa: S324
    assert (head["ContentType"], head["Metadata"]) == ("application/gzip", {"framework": "xgboost"})
    assert (head["StorageClass"], head["ContentLength"]) == ("STANDARD_IA", 5 * MIB + 10)
    assert s3.get_object_tagging(Bucket=bucket, Key="key")["TagSet"] == [{"Key": "a", "Value": "1"}]
    assert s3.get_object(Bucket=bucket, Key="key")["Body"].read() == b"".join(parts)


def test_a_multipart_copy_has_neither_metadata_nor_tags_of_its_source(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="source", Body=b"1", ContentType="text/plain", Metadata={"a": "b"}, Tagging="a=1")

    compose(s3, bucket, "copy", [{"CopySource": {"Bucket": bucket, "Key": "source"}}])

    head = s3.head_object(Bucket=bucket, Key="copy")
    assert (head["ContentType"], head["Metadata"]) == ("binary/octet-stream", {})
    assert s3.get_object_tagging(Bucket=bucket, Key="copy")["TagSet"] == []
    assert head["ETag"].endswith('-1"')


def test_completion_requires_the_uploads_parts_in_order(s3: Any, bucket: str) -> None:
    place = {"Bucket": bucket, "Key": "key"}
    place["UploadId"] = s3.create_multipart_upload(**place)["UploadId"]
    etags = {
        number: s3.upload_part(**place, PartNumber=number, Body=b"x" * size)["ETag"]
        for number, size in ((1, 5 * MIB), (2, 5 * MIB - 1), (3, 1))
    }

    def complete(*parts: tuple[int, str], **more: Any) -> Any:
        chosen = [{"PartNumber": number, "ETag": etag} for number, etag in parts]
        return s3.complete_multipart_upload(**place, MultipartUpload={"Parts": chosen}, **more)

    def fails(code: str, *parts: tuple[int, str], **more: Any) -> None:
        refused(400, code, lambda: complete(*parts, **more))

    fails("MalformedXML")
    fails("InvalidPartOrder", (3, etags[3]), (1, etags[1]))
    fails("InvalidPartOrder", (1, etags[1]), (1, etags[1]))
    fails("InvalidPart", (1, etags[2]))
    fails("InvalidPart", (1, etags[1]), (4, etags[3]))
    fails("EntityTooSmall", (1, etags[1]), (2, etags[2]), (3, etags[3]))
    fails("InvalidRequest", (1, etags[1]), (3, etags[3]), MpuObjectSize=5 * MIB)
    complete((1, etags[1]), (3, etags[3]), MpuObjectSize=5 * MIB + 1)

    assert s3.head_object(Bucket=bucket, Key="key")["ContentLength"] == 5 * MIB + 1


@pytest.mark.parametrize("number", [0, 10_001])
def test_a_part_number_must_be_between_1_and_10000(s3: Any, bucket: str, number: int) -> None:
    s3.put_object(Bucket=bucket, Key="source", Body=b"1")
    place = {"Bucket": bucket, "Key": "key", "PartNumber": number}
    place["UploadId"] = s3.create_multipart_upload(Bucket=bucket, Key="key")["UploadId"]

    refused(400, "InvalidArgument", s3.upload_part, **place, Body=b"1")
    refused(400, "InvalidArgument", s3.upload_part_copy, **place, CopySource={"Bucket": bucket, "Key": "source"})


@pytest.mark.parametrize("end", ["complete", "abort"])
def test_an_upload_no_longer_exists_after_its_end(s3: Any, bucket: str, end: str) -> None:
    place = {"Bucket": bucket, "Key": "key"}
    place["UploadId"] = s3.create_multipart_upload(**place)["UploadId"]
    etag = s3.upload_part(**place, PartNumber=1, Body=b"1")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    if end == "complete":
        s3.complete_multipart_upload(**place, MultipartUpload=parts)
    else:
        s3.abort_multipart_upload(**place)

    source = {"Bucket": bucket, "Key": "source"}
    s3.put_object(**source, Body=b"1")
    refused(404, "NoSuchUpload", s3.upload_part, **place, PartNumber=2, Body=b"2")
    refused(404, "NoSuchUpload", s3.upload_part_copy, **place, PartNumber=2, CopySource=source)
    refused(404, "NoSuchUpload", s3.list_parts, **place)
    refused(404, "NoSuchUpload", s3.complete_multipart_upload, **place, MultipartUpload=parts)
    refused(404, "NoSuchUpload", s3.abort_multipart_upload, **place)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_parts_are_listed_in_pages_by_number(s3: Any, bucket: str) -> None:
    place = {"Bucket": bucket, "Key": "key"}
    place["UploadId"] = s3.create_multipart_upload(**place)["UploadId"]
    for number in (5, 30, 10, 20):
        s3.upload_part(**place, PartNumber=number, Body=str(number).encode())

    pages = list(s3.get_paginator("list_parts").paginate(**place, PaginationConfig={"PageSize": 3}))

    assert [[part["PartNumber"] for part in page["Parts"]] for page in pages] == [[5, 10, 20], [30]]
    assert [part["Size"] for page in pages for part in page["Parts"]] == [1, 2, 2, 2]


def test_uploads_are_listed_in_pages_under_a_prefix(s3: Any, bucket: str) -> None:
    before = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=1)
    uploads = [
        (key, s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"])
        for key in ("m/a", "m/b", "m/b", "m/c", "n/a")
    ]

    paginator = s3.get_paginator("list_multipart_uploads")
    pages = list(paginator.paginate(Bucket=bucket, Prefix="m/", PaginationConfig={"PageSize": 2}))

    listed = [(item["Key"], item["UploadId"]) for page in pages for item in page["Uploads"]]
    assert len(pages) == 2
    assert sorted(listed) == sorted(uploads[:4])
    assert [key for key, _ in listed] == ["m/a", "m/b", "m/b", "m/c"]
    assert all(item["Initiated"] >= before for page in pages for item in page["Uploads"])


# Checksums


def test_the_default_checksum_is_crc64nvme(s3: Any, bucket: str) -> None:
    # Otherwise boto3 sends a CRC32.
    config = Config(request_checksum_calculation="when_required")
    older = sdk.client("s3", clients.operator_credentials(QA), accounts.REGION, config)
    response = older.put_object(Bucket=bucket, Key="key", Body=b"content")

    head = s3.head_object(Bucket=bucket, Key="key", ChecksumMode="ENABLED")
    read = s3.get_object(Bucket=bucket, Key="key", ChecksumMode="ENABLED")
    attributes = s3.get_object_attributes(
        Bucket=bucket,
        Key="key",
        ObjectAttributes=["ETag", "Checksum", "ObjectParts", "ObjectSize", "StorageClass"],
    )
    for facts in (response, head, read, attributes["Checksum"]):
        assert (facts["ChecksumCRC64NVME"], facts["ChecksumType"]) == (crc64(b"content"), "FULL_OBJECT")
    assert attributes["ETag"] == hashlib.md5(b"content").hexdigest()  # noqa: S324
    assert (attributes["ObjectSize"], attributes["StorageClass"]) == (7, "STANDARD")
    assert "ObjectParts" not in attributes
    assert "ChecksumCRC64NVME" not in s3.head_object(Bucket=bucket, Key="key")


def base64_crc32(data: bytes) -> str:
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def test_a_correct_checksum_in_the_request_is_stored(s3: Any, bucket: str) -> None:
    sha256 = base64.b64encode(hashlib.sha256(b"content").digest()).decode()
    md5 = base64.b64encode(hashlib.md5(b"content").digest()).decode()  # noqa: S324
    for arguments, expected in (
        ({}, {"ChecksumCRC32": base64_crc32(b"content")}),  # boto3's own default
        ({"ChecksumSHA256": sha256}, {"ChecksumSHA256": sha256}),
        ({"ChecksumAlgorithm": "CRC32C"}, {"ChecksumCRC32C": "Ya91Mw=="}),
        ({"ChecksumCRC64NVME": crc64(b"content")}, {"ChecksumCRC64NVME": crc64(b"content")}),
        ({"ContentMD5": md5, "ChecksumSHA256": sha256}, {"ChecksumSHA256": sha256}),
    ):
        s3.put_object(Bucket=bucket, Key="key", Body=b"content", **arguments)
        head = s3.head_object(Bucket=bucket, Key="key", ChecksumMode="ENABLED")
        checksums = {name: value for name, value in head.items() if name.startswith("Checksum")}
        assert checksums == expected | {"ChecksumType": "FULL_OBJECT"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"ChecksumCRC32": base64_crc32(b"other")},
        {"ChecksumSHA256": base64.b64encode(hashlib.sha256(b"other").digest()).decode()},
        {"ChecksumCRC64NVME": crc64(b"other")},
        {"ContentMD5": base64.b64encode(hashlib.md5(b"other").digest()).decode()},  # noqa: S324
    ],
)
def test_a_wrong_checksum_in_the_request_is_rejected(s3: Any, bucket: str, wrong: dict[str, str]) -> None:
    place = {"Bucket": bucket, "Key": "key"}
    refused(400, "BadDigest", s3.put_object, **place, Body=b"content", **wrong)
    upload_id = s3.create_multipart_upload(**place)["UploadId"]
    refused(400, "BadDigest", s3.upload_part, **place, UploadId=upload_id, PartNumber=1, Body=b"content", **wrong)
    refused(404, "404", s3.head_object, **place)


@pytest.mark.parametrize("create", [{}, {"ChecksumAlgorithm": "CRC64NVME"}])
def test_completion_verifies_the_full_object_checksum(s3: Any, bucket: str, create: dict[str, str]) -> None:
    parts = [b"a" * (5 * MIB), b"b" * 10]
    right, wrong = crc64(b"".join(parts)), crc64(b"other")

    with pytest.raises(ClientError, match="The CRC64NVME you specified did not match") as raised:
        upload(s3, bucket, "key", parts, {"ChecksumCRC64NVME": wrong, "ChecksumType": "FULL_OBJECT"}, **create)
    assert raised.value.response["Error"]["Code"] == "BadDigest"
    response = upload(s3, bucket, "key", parts, {"ChecksumCRC64NVME": right, "ChecksumType": "FULL_OBJECT"}, **create)

    head = s3.head_object(Bucket=bucket, Key="key", ChecksumMode="ENABLED")
    for facts in (response, head):
        assert (facts["ChecksumCRC64NVME"], facts["ChecksumType"]) == (right, "FULL_OBJECT")


def test_a_multipart_upload_of_boto3_has_a_composite_checksum(s3: Any, bucket: str, tmp_path: Any) -> None:
    data = bytes(range(256)) * (11 * MIB // 256)
    (tmp_path / "file").write_bytes(data)
    config = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)

    s3.upload_file(str(tmp_path / "file"), bucket, "key", Config=config)

    attribute_names = ["Checksum", "ObjectParts"]
    attributes = s3.get_object_attributes(Bucket=bucket, Key="key", ObjectAttributes=attribute_names)
    cuts = [data[start : start + 5 * MIB] for start in range(0, len(data), 5 * MIB)]
    of_parts = b"".join(zlib.crc32(cut).to_bytes(4, "big") for cut in cuts)
    assert attributes["Checksum"] == {"ChecksumCRC32": base64_crc32(of_parts), "ChecksumType": "COMPOSITE"}
    head = s3.head_object(Bucket=bucket, Key="key", ChecksumMode="ENABLED")
    assert head["ChecksumCRC32"] == f"{base64_crc32(of_parts)}-3"
    assert attributes["ObjectParts"]["TotalPartsCount"] == 3
    assert [(part["PartNumber"], part["Size"]) for part in attributes["ObjectParts"]["Parts"]] == [
        (1, 5 * MIB),
        (2, 5 * MIB),
        (3, MIB),
    ]
    s3.download_file(bucket, "key", str(tmp_path / "copy"), Config=config)
    assert (tmp_path / "copy").read_bytes() == data

    copied = s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "key"})["CopyObjectResult"]
    assert (copied["ChecksumCRC32"], copied["ChecksumType"]) == (base64_crc32(data), "FULL_OBJECT")


def test_completion_requires_the_checksums_of_parts(s3: Any, bucket: str) -> None:
    place = {"Bucket": bucket, "Key": "key"}
    place["UploadId"] = s3.create_multipart_upload(**place, ChecksumAlgorithm="SHA256")["UploadId"]
    refused(400, "InvalidRequest", s3.upload_part, **place, PartNumber=1, Body=b"1", ChecksumAlgorithm="CRC32")
    part = s3.upload_part(**place, PartNumber=1, Body=b"1", ChecksumAlgorithm="SHA256")
    chosen = {"PartNumber": 1, "ETag": part["ETag"]}
    other = {"ChecksumSHA256": base64.b64encode(hashlib.sha256(b"2").digest()).decode()}
    complete = s3.complete_multipart_upload

    message = refused(400, "InvalidRequest", complete, **place, MultipartUpload={"Parts": [chosen]})
    assert "must include the checksum for each part" in message
    refused(400, "InvalidPart", complete, **place, MultipartUpload={"Parts": [chosen | other]})
    right = {"ChecksumSHA256": part["ChecksumSHA256"]}
    response = complete(**place, MultipartUpload={"Parts": [chosen | right]})

    composed = hashlib.sha256(hashlib.sha256(b"1").digest()).digest()
    assert response["ChecksumSHA256"] == f"{base64.b64encode(composed).decode()}-1"
    refused(
        400,
        "InvalidRequest",
        s3.create_multipart_upload,
        Bucket=bucket,
        Key="key",
        ChecksumAlgorithm="CRC64NVME",
        ChecksumType="COMPOSITE",
    )


def test_a_copy_has_the_checksum_algorithm_of_its_source_or_its_request(s3: Any, bucket: str) -> None:
    source = {"Bucket": bucket, "Key": "source"}
    s3.put_object(**source, Body=b"content")

    for arguments, expected in (
        ({}, {"ChecksumCRC32": base64_crc32(b"content")}),
        ({"ChecksumAlgorithm": "CRC64NVME"}, {"ChecksumCRC64NVME": crc64(b"content")}),
    ):
        result = s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, **arguments)["CopyObjectResult"]
        head = s3.head_object(Bucket=bucket, Key="copy", ChecksumMode="ENABLED")
        assert expected.items() <= result.items()
        assert expected.items() <= head.items()


# Objects of any size


def test_an_object_of_terabytes_can_be_composed_copied_verified_and_read(s3: Any, bucket: str) -> None:
    block = bytes(range(256)) * (8 * MIB // 256)
    s3.put_object(Bucket=bucket, Key="8 MiB", Body=block)
    sizes = {"8 MiB": 8 * MIB}

    def multiply(source: str, times: int, key: str) -> None:
        compose(s3, bucket, key, [{"CopySource": {"Bucket": bucket, "Key": source}}] * times)
        sizes[key] = sizes[source] * times

    multiply("8 MiB", 16, "128 MiB")
    multiply("128 MiB", 40, "5 GiB")
    multiply("5 GiB", 10, "50 GiB")
    multiply("5 GiB", 400, "2 TiB")

    for key, size in sizes.items():
        head = s3.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
        assert head["ContentLength"] == size
    assert s3.head_object(Bucket=bucket, Key="128 MiB", ChecksumMode="ENABLED")["ChecksumCRC64NVME"] == crc64(
        block * 16
    )

    # A copy in parts of another size has the same content.
    ranges = [
        {
            "CopySource": {"Bucket": bucket, "Key": "50 GiB"},
            "CopySourceRange": f"bytes={start}-{min(start + 3 * GIB + 7, 50 * GIB) - 1}",
        }
        for start in range(0, 50 * GIB, 3 * GIB + 7)
    ]
    copy = compose(s3, bucket, "copy", ranges)
    original = s3.head_object(Bucket=bucket, Key="50 GiB", ChecksumMode="ENABLED")
    assert copy["ChecksumCRC64NVME"] == original["ChecksumCRC64NVME"]
    assert copy["ETag"].endswith('-17"')

    start = 1024**4 + 5
    piece = s3.get_object(Bucket=bucket, Key="2 TiB", Range=f"bytes={start}-{start + 9}")
    assert piece["Body"].read() == block[5:15]
    assert piece["ContentRange"] == f"bytes {start}-{start + 9}/{sizes['2 TiB']}"
    body = s3.get_object(Bucket=bucket, Key="50 GiB")["Body"]
    assert body.read(1000) == block[:1000]
    body.close()
    listed = {each["Key"]: each["Size"] for each in s3.list_object_versions(Bucket=bucket)["Versions"]}
    assert listed == sizes | {"copy": sizes["50 GiB"]}


def test_a_single_copy_is_limited_to_5_gib(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="block", Body=bytes(8 * MIB))
    compose(s3, bucket, "512 MiB", [{"CopySource": {"Bucket": bucket, "Key": "block"}}] * 64)
    half = {"CopySource": {"Bucket": bucket, "Key": "512 MiB"}}
    compose(s3, bucket, "5 GiB", [half] * 10)
    compose(s3, bucket, "more", [half] * 10 + [half | {"CopySourceRange": "bytes=0-0"}])
    place = {"Bucket": bucket, "Key": "copy"}
    part = {**place, "UploadId": s3.create_multipart_upload(**place)["UploadId"], "PartNumber": 1}

    s3.copy_object(**place, CopySource={"Bucket": bucket, "Key": "5 GiB"})
    message = refused(400, "InvalidRequest", s3.copy_object, **place, CopySource={"Bucket": bucket, "Key": "more"})
    assert message.endswith("larger than the maximum allowable size for a copy source: 5368709120")
    refused(400, "InvalidRequest", s3.upload_part_copy, **part, CopySource={"Bucket": bucket, "Key": "more"})
    whole = {"CopySource": {"Bucket": bucket, "Key": "more"}, "CopySourceRange": f"bytes=0-{5 * GIB - 1}"}
    s3.upload_part_copy(**part, **whole)

    sizes = [s3.head_object(Bucket=bucket, Key=key)["ContentLength"] for key in ("copy", "more")]
    assert sizes == [5 * GIB, 5 * GIB + 1]


def test_a_copy_remains_after_its_source_is_deleted(s3: Any, bucket: str) -> None:
    data = bytes(range(256)) * (6 * MIB // 256)
    s3.put_object(Bucket=bucket, Key="source", Body=data)
    source = {"Bucket": bucket, "Key": "source"}
    s3.copy_object(Bucket=bucket, Key="whole", CopySource=source)
    compose(s3, bucket, "parts", [{"CopySource": source}, {"CopySource": source, "CopySourceRange": "bytes=1-9"}])

    s3.put_object(**source, Body=b"other")
    s3.delete_object(**source)

    assert s3.get_object(Bucket=bucket, Key="whole")["Body"].read() == data
    assert s3.get_object(Bucket=bucket, Key="parts")["Body"].read() == data + data[1:10]


def test_boto3s_managed_copy_of_a_large_object_is_complete(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="block", Body=bytes(range(256)) * (8 * MIB // 256))
    compose(s3, bucket, "source", [{"CopySource": {"Bucket": bucket, "Key": "block"}}] * 16)
    config = TransferConfig(multipart_threshold=16 * MIB, multipart_chunksize=32 * MIB)

    s3.copy({"Bucket": bucket, "Key": "source"}, bucket, "copy", Config=config)

    heads = [s3.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED") for key in ("source", "copy")]
    assert heads[0]["ChecksumCRC64NVME"] == heads[1]["ChecksumCRC64NVME"]
    assert heads[1]["ETag"].endswith('-4"')


# Reading


@pytest.mark.parametrize(
    ("byte_range", "first", "last"),
    [("bytes=0-4", 0, 4), ("bytes=3-", 3, 9), ("bytes=-2", 8, 9), ("bytes=5-100", 5, 9)],
)
def test_a_range_is_read(s3: Any, bucket: str, byte_range: str, first: int, last: int) -> None:
    place = {"Bucket": bucket, "Key": "key"}
    s3.put_object(**place, Body=b"0123456789")

    head, read = s3.head_object(**place, Range=byte_range), s3.get_object(**place, Range=byte_range)

    assert read["Body"].read() == b"0123456789"[first : last + 1]
    assert read["ContentRange"] == head["ContentRange"] == f"bytes {first}-{last}/10"
    assert read["ContentLength"] == head["ContentLength"] == last - first + 1
    assert read["ResponseMetadata"]["HTTPStatusCode"] == head["ResponseMetadata"]["HTTPStatusCode"] == 206


def test_a_range_outside_the_object_is_rejected(s3: Any, bucket: str) -> None:
    place = {"Bucket": bucket, "Key": "key"}
    s3.put_object(**place, Body=b"0123456789")

    refused(416, "InvalidRange", s3.get_object, **place, Range="bytes=10-")
    refused(416, "416", s3.head_object, **place, Range="bytes=10-")


def test_one_part_of_an_object_is_read(s3: Any, bucket: str) -> None:
    etag = upload(s3, bucket, "key", [b"a" * (5 * MIB), b"b" * 10])["ETag"]
    place = {"Bucket": bucket, "Key": "key", "PartNumber": 2}

    head, read = s3.head_object(**place), s3.get_object(**place)

    assert read["Body"].read() == b"b" * 10
    assert (head["PartsCount"], head["ContentLength"], head["ETag"]) == (2, 10, etag)
    refused(416, "416", s3.head_object, **(place | {"PartNumber": 3}))


def test_conditional_reads_depend_on_the_etag(s3: Any, bucket: str) -> None:
    place = {"Bucket": bucket, "Key": "key"}
    etag = s3.put_object(**place, Body=b"1")["ETag"]

    for call, failed, unchanged in (
        (s3.get_object, "PreconditionFailed", "304"),
        (s3.head_object, "412", "304"),
    ):
        call(**place, IfMatch=etag)
        call(**place, IfMatch=etag.strip('"'))
        call(**place, IfNoneMatch='"other"')
        refused(412, failed, call, **place, IfMatch='"other"')
        refused(304, unchanged, call, **place, IfNoneMatch=etag)
        refused(412, failed, call, **place, IfUnmodifiedSince=YESTERDAY)


def test_reads_distinguish_versions_and_delete_markers(s3: Any, versioned: str) -> None:
    place = {"Bucket": versioned, "Key": "key"}
    old = s3.put_object(**place, Body=b"old")["VersionId"]
    new = s3.put_object(**place, Body=b"new")["VersionId"]

    assert s3.get_object(**place, VersionId=old)["Body"].read() == b"old"
    assert s3.head_object(**place)["VersionId"] == new
    refused(404, "NoSuchVersion", s3.get_object, **place, VersionId="x" * 32)
    marker = s3.delete_object(**place)["VersionId"]
    refused(404, "NoSuchKey", s3.get_object, **place)
    refused(404, "404", s3.head_object, **place)
    refused(405, "MethodNotAllowed", s3.get_object, **place, VersionId=marker)
    refused(405, "405", s3.head_object, **place, VersionId=marker)
    assert s3.get_object(**place, VersionId=new)["Body"].read() == b"new"
    listed = s3.list_object_versions(Bucket=versioned)
    assert [item["VersionId"] for item in listed["DeleteMarkers"]] == [marker]
    assert {item["VersionId"] for item in listed["Versions"]} == {old, new}


def test_a_version_id_is_invalid_in_an_unversioned_bucket(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="key", Body=b"1")

    refused(400, "InvalidArgument", s3.get_object, Bucket=bucket, Key="key", VersionId="x" * 32)
    assert s3.get_object(Bucket=bucket, Key="key", VersionId="null")["Body"].read() == b"1"


def test_objects_are_listed_in_pages_under_a_prefix(s3: Any, bucket: str) -> None:
    keys = [f"m/{number:03}+ä" for number in range(25)]
    for key in [*keys, "n", "m/deep/a", "m/deep/b"]:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())

    paginator = s3.get_paginator("list_objects_v2")
    pages = list(paginator.paginate(Bucket=bucket, Prefix="m/", Delimiter="/", PaginationConfig={"PageSize": 10}))

    assert [page["KeyCount"] for page in pages] == [10, 10, 6]
    assert [item["Key"] for page in pages for item in page.get("Contents", [])] == keys
    assert [item["Prefix"] for page in pages for item in page.get("CommonPrefixes", [])] == ["m/deep/"]


# Encryption


@pytest.fixture
def kms_key(aws: EmbeddedAws) -> str:
    return str(clients.client_as_operator("kms", QA).create_key()["KeyMetadata"]["Arn"])


def encryption(facts: dict[str, Any]) -> dict[str, Any]:
    names = ("ServerSideEncryption", "SSEKMSKeyId", "BucketKeyEnabled")
    return {name: facts[name] for name in names if name in facts}


def test_the_request_determines_the_encryption(s3: Any, bucket: str, kms_key: str) -> None:
    source = {"Bucket": bucket, "Key": "source"}
    s3.put_object(**source, Body=b"1")
    place = {"Bucket": bucket, "Key": "key"}
    for arguments, expected in (
        ({}, {"ServerSideEncryption": "AES256"}),
        (
            {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key, "BucketKeyEnabled": True},
            {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key, "BucketKeyEnabled": True},
        ),
        (
            {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key.rpartition("/")[2]},
            {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key},
        ),
    ):
        s3.put_object(**place, Body=b"1", **arguments)
        assert encryption(s3.head_object(**place)) == expected
        s3.copy_object(**place, CopySource=source, **arguments)
        assert encryption(s3.head_object(**place)) == expected
        upload(s3, bucket, "key", [b"1"], **arguments)
        assert encryption(s3.head_object(**place)) == expected


def test_the_bucket_determines_the_default_encryption(s3: Any, bucket: str, kms_key: str) -> None:
    rule = {
        "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": kms_key},
        "BucketKeyEnabled": True,
    }
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    place = {"Bucket": bucket, "Key": "key"}
    default = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key, "BucketKeyEnabled": True}

    assert encryption(s3.put_object(**place, Body=b"1")) == default
    assert encryption(s3.head_object(**place)) == default
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=place)
    assert encryption(s3.head_object(Bucket=bucket, Key="copy")) == default
    assert encryption(s3.create_multipart_upload(**place)) == default
    s3.put_object(**place, Body=b"1", ServerSideEncryption="AES256")
    assert encryption(s3.head_object(**place)) == {"ServerSideEncryption": "AES256"}
    s3.put_object(**place, Body=b"1", ServerSideEncryption="aws:kms")
    managed = clients.client_as_operator("kms", QA).describe_key(KeyId="alias/aws/s3")["KeyMetadata"]["Arn"]
    assert encryption(s3.head_object(**place))["SSEKMSKeyId"] == managed


def test_the_etag_of_an_object_encrypted_with_a_kms_key_is_not_its_md5(s3: Any, bucket: str, kms_key: str) -> None:
    plain = s3.put_object(Bucket=bucket, Key="plain", Body=b"1")["ETag"]
    encrypted = s3.copy_object(
        Bucket=bucket,
        Key="encrypted",
        CopySource={"Bucket": bucket, "Key": "plain"},
        ServerSideEncryption="aws:kms",
        SSEKMSKeyId=kms_key,
    )["CopyObjectResult"]["ETag"]

    assert plain == f'"{hashlib.md5(b"1").hexdigest()}"'  # noqa: S324
    assert encrypted != plain
    assert s3.head_object(Bucket=bucket, Key="encrypted")["ETag"] == encrypted
