"""S3's multipart uploads: "Uploading and copying objects using multipart upload" and the API reference."""

from __future__ import annotations

import datetime
import hashlib
import itertools
import re
from collections.abc import Iterator
from typing import Any
from xml.parsers.expat import ExpatError

import xmltodict
from moto.core.responses import ActionResult
from moto.s3 import notifications
from moto.s3.exceptions import (
    EntityTooSmall,
    InvalidArgumentError,
    InvalidMaxPartNumberArgument,
    InvalidObjectState,
    InvalidPart,
    InvalidPartOrder,
    InvalidStorageClass,
    MalformedXML,
    NoSuchUpload,
    S3ClientError,
)
from moto.s3.models import OWNER, FakeMultipart, S3Backend
from moto.s3.responses import S3Response
from moto.s3.utils import STORAGE_CLASS, metadata_from_headers

from embedded_aws.kernel.patching import Patches
from embedded_aws.services.s3 import objects
from embedded_aws.services.s3.content import Content
from embedded_aws.services.s3.objects import COMPOSITE, FULL_OBJECT, Part
from embedded_aws.services.s3.writing import (
    Response,
    find_copy_source,
    given_checksum,
    refuse_large_copy,
    refuse_unless_destination_matches,
    refuse_wrong_checksum,
    writing,
)

_LEAST_PART_BYTES = 5 * 1024**2
_MOST_PARTS = 10_000
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html; the first is the default.
_CHECKSUM_TYPES = {
    "CRC64NVME": (FULL_OBJECT,),
    "CRC32": (COMPOSITE, FULL_OBJECT),
    "CRC32C": (COMPOSITE, FULL_OBJECT),
    "SHA1": (COMPOSITE,),
    "SHA256": (COMPOSITE,),
}
# Headers that moto's helper returns as metadata, and S3 does not.
_NO_METADATA = {"x-amz-checksum-algorithm", "x-amz-checksum-type", "x-amz-content-sha256", "content-md5"}


patches = Patches("5.2.5")
_post_in_moto = S3Response._key_response_post


@patches.replaces(
    S3Response,
    "_key_response_post",
    "moto's uploads have no checksums, default encryption, conditions and checks of parts.",
)
def _key_response_post(
    response: Any, request: Any, body: bytes, bucket_name: str, query: dict[str, Any], key_name: str
) -> Any:
    if "uploads" not in query and "uploadId" not in query:
        return _post_in_moto(response, request, body, bucket_name, query, key_name)
    response._set_action("KEY", "POST", query)
    response._authenticate_and_authorize_s3_action(bucket_name=bucket_name, key_name=key_name)
    return _create(response) if "uploads" in query else _complete(response, body)


def _find_upload(response: Any) -> Any:
    """Return an upload that is not completed. Raise NoSuchUpload otherwise.

    S3 may accept a second completion, but only NoSuchUpload is documented.
    """
    upload_id = response._get_param("uploadId")
    upload = response.backend.get_bucket(response.bucket_name).multiparts.get(upload_id)
    if upload is None or upload.key_name != response.parse_key_name():
        raise NoSuchUpload(upload_id=upload_id)
    return upload


def _create(response: Any) -> Response:
    headers, backend = response.headers, response.backend
    bucket = backend.get_bucket(response.bucket_name)
    storage_class = headers.get("x-amz-storage-class", "STANDARD")
    if storage_class not in STORAGE_CLASS:
        raise InvalidStorageClass(storage=storage_class)
    algorithm = headers.get("x-amz-checksum-algorithm")
    types = _CHECKSUM_TYPES[algorithm or objects.DEFAULT_ALGORITHM]
    checksum_type = headers.get("x-amz-checksum-type", types[0])
    if checksum_type not in types:
        message = f"The {checksum_type} checksum type cannot be used with the {algorithm} checksum algorithm."
        raise S3ClientError("InvalidRequest", message)
    encryption = objects.encryption_of(
        bucket,
        backend.account_id,
        headers.get("x-amz-server-side-encryption"),
        headers.get("x-amz-server-side-encryption-aws-kms-key-id"),
        headers.get("x-amz-server-side-encryption-bucket-key-enabled"),
    )
    metadata = metadata_from_headers(headers)
    upload = backend.create_multipart_upload(
        bucket.name,
        response.parse_key_name(),
        {name: value for name, value in metadata.items() if name.lower() not in _NO_METADATA},
        storage_class,
        response._tagging_from_headers(headers),
        response._acl_from_headers(headers),
        encryption.algorithm,
        encryption.kms_key_id,
    )
    upload.encryption = encryption
    upload.checksum_algorithm = algorithm
    upload.checksum_type = checksum_type
    upload.initiated = datetime.datetime.now(datetime.UTC)
    result = {"Bucket": bucket.name, "Key": upload.key_name, "UploadId": upload.id}
    result |= _named_checksum(upload)
    response.data["Action"] = "CreateMultipartUpload"
    status, answer, body = response.serialized(ActionResult(result))
    return status, answer | objects.encryption_headers(encryption), body


def _named_checksum(upload: Any) -> dict[str, str]:
    if upload.checksum_algorithm is None:
        return {}
    return {"ChecksumAlgorithm": upload.checksum_algorithm, "ChecksumType": upload.checksum_type}


@patches.replaces(S3Response, "upload_part", "moto ignores the checksum and the encryption of the upload.")
def _upload_part(response: Any) -> Response:
    answer = response._get_cors_headers_other()
    upload = _find_upload(response)
    algorithm, _ = given_checksum(response, answer)
    if upload.checksum_algorithm and algorithm not in ("", upload.checksum_algorithm):
        message = f"Checksum Type mismatch occurred, expected checksum Type: {upload.checksum_algorithm.lower()}, "
        raise S3ClientError("InvalidRequest", f"{message}actual checksum Type: {algorithm.lower()}")
    part = _set_part(response, upload, response.body or b"")
    answer |= objects.encryption_headers(upload.encryption) | {"ETag": part.etag, "content-length": "0"}
    return 200, answer, ""


@patches.replaces(S3Response, "upload_part_copy", "moto ignores conditions and limits, and copies the bytes.")
def _upload_part_copy(response: Any) -> Response:
    upload = _find_upload(response)
    source = find_copy_source(response)
    if objects.is_archived(source):
        raise InvalidObjectState(storage_class=source.storage_class)
    content = source.content
    byte_range = response.headers.get("x-amz-copy-source-range")
    if byte_range is not None:
        first, last = _copied_range(byte_range, source.size)
        content = content[first : last + 1]
    refuse_large_copy(content.size)
    part = _set_part(response, upload, content)
    result = {"ETag": part.etag, "LastModified": part.last_modified_ISO8601}
    if upload.checksum_algorithm:
        checksum = objects.encode(content.checksum(upload.checksum_algorithm))
        result[f"Checksum{upload.checksum_algorithm}"] = checksum
    response.data["Action"] = "UploadPartCopy"
    status, answer, body = response.serialized(ActionResult({"CopyPartResult": result}))
    answer |= response._get_cors_headers_other() | objects.encryption_headers(upload.encryption)
    if source.version_id != "null":
        answer["x-amz-copy-source-version-id"] = source.version_id
    return status, answer | {"content-length": str(len(body))}, body


def _copied_range(byte_range: str, size: int) -> tuple[int, int]:
    form = re.fullmatch(r"bytes=(\d+)-(\d+)", byte_range)
    if not form or int(form[1]) > int(form[2]):
        message = "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the "
        message += "zero-based offsets of the first and last bytes to copy"
        raise InvalidArgumentError(message, "x-amz-copy-source-range", byte_range)
    if size <= _LEAST_PART_BYTES and (int(form[1]), int(form[2])) != (0, size - 1):
        message = "The specified copy source is not supported as a byte-range copy source"
        raise S3ClientError("InvalidRequest", message)
    if int(form[2]) >= size:
        message = f"Range specified is not valid for source object of size: {size}"
        raise InvalidArgumentError(message, "x-amz-copy-source-range", byte_range)
    return int(form[1]), int(form[2])


def _set_part(response: Any, upload: Any, content: bytes | Content) -> Any:
    number = response._get_int_param("partNumber")
    if not 1 <= number <= _MOST_PARTS:
        raise InvalidMaxPartNumberArgument(number)
    return upload.set_part(number, content)


def _complete(response: Any, body: bytes) -> Response:
    upload = _find_upload(response)
    parts = _chosen_parts(upload, body)
    content = Content.concatenated(part.content for part in parts)
    given_size = response.headers.get("x-amz-mp-object-size")
    if given_size is not None and given_size != str(content.size):
        message = f"The provided 'x-amz-mp-object-size' header value {given_size} does not match what was computed: "
        raise S3ClientError("InvalidRequest", f"{message}{content.size}")
    checksum = _checksum(upload, parts, content)
    _refuse_other_checksum(response.headers, upload, checksum)
    with writing:
        refuse_unless_destination_matches(response)
        _find_upload(response)  # raises if a concurrent request completed it
        key = _write(response.backend, response.bucket_name, upload, parts, content, checksum)
    result = {
        "Location": f"{response.request.url_root}{response.bucket_name}/{upload.key_name}",
        "Bucket": response.bucket_name,
        "Key": upload.key_name,
        "ETag": key.etag,
        f"Checksum{key.checksum_algorithm}": objects.checksum_value(key),
        "ChecksumType": key.checksum_type,
    }
    response.data["Action"] = "CompleteMultipartUpload"
    status, answer, document = response.serialized(ActionResult(result))
    if key.version_id != "null":
        answer["x-amz-version-id"] = key.version_id
    return status, answer | objects.encryption_headers(upload.encryption), document


def _chosen_parts(upload: Any, body: bytes) -> list[Any]:
    try:
        document = xmltodict.parse(body, force_list={"Part"})
        chosen = [(int(part["PartNumber"]), part) for part in document["CompleteMultipartUpload"]["Part"]]
    except (ExpatError, KeyError, TypeError, ValueError) as error:
        raise MalformedXML from error
    if any(after[0] <= before[0] for before, after in itertools.pairwise(chosen)):
        raise InvalidPartOrder
    parts = [upload.parts.get(number) for number, _ in chosen]
    for part, (number, listed) in zip(parts, chosen, strict=True):
        if part is None or part.etag.strip('"') != listed.get("ETag", "").strip('"'):
            raise InvalidPart
        if upload.checksum_algorithm is None:
            continue
        checksum = listed.get(f"Checksum{upload.checksum_algorithm}")
        if checksum is None and upload.checksum_type == COMPOSITE:
            message = (
                f"The upload was created using a {upload.checksum_algorithm.lower()} checksum. The complete request "
            )
            message += f"must include the checksum for each part. It was missing for part {number} in the request."
            raise S3ClientError("InvalidRequest", message)
        if checksum not in (None, objects.encode(part.content.checksum(upload.checksum_algorithm))):
            raise InvalidPart
    if any(part.content.size < _LEAST_PART_BYTES for part in parts[:-1]):
        raise EntityTooSmall
    return parts


def _checksum(upload: Any, parts: list[Any], content: Content) -> str:
    algorithm = upload.checksum_algorithm or objects.DEFAULT_ALGORITHM
    if upload.checksum_type == COMPOSITE:
        content = Content.of(b"".join(part.content.checksum(algorithm) for part in parts))
    return objects.encode(content.checksum(algorithm))


def _refuse_other_checksum(headers: Any, upload: Any, checksum: str) -> None:
    if headers.get("x-amz-checksum-type", upload.checksum_type) != upload.checksum_type:
        message = f"The upload was created using the {upload.checksum_type} checksum mode. "
        raise S3ClientError("InvalidRequest", f"{message}The complete request must use the same checksum mode.")
    algorithm = upload.checksum_algorithm or objects.DEFAULT_ALGORITHM
    given = headers.get(f"x-amz-checksum-{algorithm.lower()}", checksum)
    refuse_wrong_checksum(algorithm, given.partition("-")[0], checksum)


def _write(backend: Any, bucket_name: str, upload: Any, parts: list[Any], content: Content, checksum: str) -> Any:
    bucket = backend.get_bucket(bucket_name)
    digests = b"".join(bytes.fromhex(part.etag.strip('"')) for part in parts)
    key = backend.put_object(
        bucket_name,
        upload.key_name,
        content,
        storage=upload.storage,
        etag=f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}",
        encryption=upload.encryption.algorithm,
        kms_key_id=upload.encryption.kms_key_id,
        bucket_key_enabled=upload.encryption.bucket_key,
        checksum_value=checksum,
        disable_notification=True,
    )
    key.checksum_algorithm = algorithm = upload.checksum_algorithm or objects.DEFAULT_ALGORITHM
    key.checksum_type, key.checksum_parts = upload.checksum_type, len(parts)
    key.completed_parts = tuple(
        Part(
            number,
            part.content.size,
            objects.encode(part.content.checksum(algorithm)) if upload.checksum_algorithm else None,
        )
        for number, part in enumerate(parts, start=1)
    )
    key.set_metadata(upload.metadata)
    key.set_acl(upload.acl or bucket.acl)
    backend.put_object_tagging(key, upload.tags)
    del bucket.multiparts[upload.id]
    completed = notifications.S3NotificationEvent.OBJECT_CREATED_COMPLETE_MULTIPART_UPLOAD_EVENT
    notifications.send_event(backend.account_id, completed, bucket, key)
    return key


@patches.replaces(S3Response, "abort_multipart_upload", "moto does not compare the object's key with the upload's.")
def _abort_multipart_upload(response: Any) -> Response:
    upload = _find_upload(response)
    response.backend.abort_multipart_upload(response.bucket_name, upload.id)
    return 204, {}, ""


@patches.replaces(FakeMultipart, "list_parts", "moto uses the marker, a part number, as an index of the list.")
def _parts_after(upload: Any, part_number_marker: int, max_parts: int) -> Iterator[Any]:
    numbers = [number for number in upload.partlist if number > part_number_marker]
    return iter([upload.parts[number] for number in numbers[:max_parts]])


@patches.replaces(S3Backend, "is_truncated", "moto uses the marker, a part number, as an index of the list.")
def _is_truncated(backend: Any, bucket_name: str, multipart_id: str, next_part_number_marker: int) -> bool:
    numbers = backend.get_bucket(bucket_name).multiparts[multipart_id].partlist
    return any(number > next_part_number_marker for number in numbers)


@patches.replaces(S3Response, "list_multipart_uploads", "moto ignores markers and max-uploads.")
def _list_multipart_uploads(response: Any) -> Response:
    query = {name: values[0] for name, values in response.querystring.items()}
    prefix, most = query.get("prefix", ""), int(query.get("max-uploads", 1000))
    marker = (query.get("key-marker", ""), query.get("upload-id-marker", ""))
    all_uploads = response.backend.list_multipart_uploads(response.bucket_name).values()
    uploads = {(upload.key_name, upload.id): upload for upload in all_uploads if upload.key_name.startswith(prefix)}
    if marker[1]:
        after = sorted(position for position in uploads if position > marker)
    else:
        after = sorted(position for position in uploads if position[0] > marker[0])
    owner = {"ID": OWNER, "DisplayName": "webfile"}
    result: dict[str, Any] = {
        "Bucket": response.bucket_name,
        "Prefix": prefix,
        "KeyMarker": marker[0],
        "UploadIdMarker": marker[1],
        "MaxUploads": most,
        "IsTruncated": len(after) > most,
        "Uploads": [
            {
                "Key": key,
                "UploadId": upload_id,
                "Initiated": uploads[key, upload_id].initiated,
                "Initiator": owner,
                "Owner": owner,
                "StorageClass": uploads[key, upload_id].storage,
                **_named_checksum(uploads[key, upload_id]),
            }
            for key, upload_id in after[:most]
        ],
    }
    if result["IsTruncated"]:
        result["NextKeyMarker"], result["NextUploadIdMarker"] = after[most - 1]
    response.data["Action"] = "ListMultipartUploads"
    answer: Response = response.serialized(ActionResult(result))
    return answer
