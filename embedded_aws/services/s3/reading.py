"""S3's GetObject, HeadObject and GetObjectAttributes, where moto differs from the API reference.

The content is never read as a whole: moto slices it for ranges, and the server sends it in chunks.
"""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult
from moto.core.utils import str_to_rfc_1123_datetime
from moto.s3.exceptions import (
    InvalidObjectState,
    InvalidVersion,
    MethodNotAllowed,
    MissingKey,
    MissingVersion,
    PreconditionFailed,
    S3ClientError,
)
from moto.s3.models import FakeDeleteMarker
from moto.s3.responses import S3Response

from embedded_aws.kernel.patching import Patches
from embedded_aws.services.s3 import objects
from embedded_aws.services.s3.content import Content
from embedded_aws.services.s3.writing import matches

Response = tuple[int, dict[str, Any], Content | str]

patches = Patches("5.2.5")
_get_in_moto = S3Response.get_object


class InvalidPartNumberError(S3ClientError):
    """The requested part does not exist. moto's serializer knows the status of this code: 416."""

    code = "InvalidRange"

    def __init__(self) -> None:
        super().__init__("The requested partnumber is not satisfiable")


@patches.replaces(S3Response, "_get_key", "moto prefers conditions on dates, and reads delete markers.")
def _get_key(response: Any, validate_storage_class: bool = True) -> tuple[Any, bool]:
    """Return the object, and whether the caller already has it (304 Not Modified)."""
    name = response.parse_key_name()
    version_id = response.querystring.get("versionId", [None])[0]
    bucket = response.backend.get_bucket(response.bucket_name)
    if version_id not in (None, "null") and bucket.versioning_status is None:
        raise InvalidVersion(version_id)
    key = response.backend.get_object(bucket.name, name, version_id=version_id, return_delete_marker=True)
    if isinstance(key, FakeDeleteMarker) and version_id:
        raise MethodNotAllowed(method=response.method, resource_type="DeleteMarker")
    if key is None and version_id:
        raise MissingVersion(key=name, version_id=version_id)
    if key is None or isinstance(key, FakeDeleteMarker):
        raise MissingKey(key=name)
    if validate_storage_class and response.method != "HEAD" and objects.is_archived(key):
        raise InvalidObjectState(storage_class=key.storage_class)
    return objects.ByReference(key, key.completed_parts), _not_modified(response.headers, key)


def _not_modified(headers: Any, key: Any) -> bool:
    """Return whether the object is not modified, by RFC 7232: conditions on the ETag precede those on the date."""

    def changed_since(date: str) -> bool:
        return bool(key.last_modified.replace(microsecond=0) > str_to_rfc_1123_datetime(date))

    if etag := headers.get("If-Match"):
        if not matches(etag, key.etag):
            raise PreconditionFailed("If-Match")
    elif (date := headers.get("If-Unmodified-Since")) and changed_since(date):
        raise PreconditionFailed("If-Unmodified-Since")
    if etag := headers.get("If-None-Match"):
        return matches(etag, key.etag)
    date = headers.get("If-Modified-Since")
    return bool(date) and not changed_since(date)


@patches.replaces(S3Response, "get_object", "moto ignores partNumber for objects from multipart uploads.")
def _get_object(response: Any) -> Response:
    status, headers, content = _get_in_moto(response)
    key, _ = response._get_key()
    number = response._get_int_param("partNumber")
    if status != 200 or not number or not key.completed_parts:
        return status, headers, content
    parts = key.completed_parts
    if number > len(parts):
        raise InvalidPartNumberError
    first = sum(part.size for part in parts[: number - 1])
    last = first + parts[number - 1].size - 1
    headers["content-range"] = f"bytes {first}-{last}/{key.size}"
    headers["content-length"] = str(last - first + 1)
    headers["x-amz-mp-parts-count"] = str(len(parts))
    # The checksum is that of the part.
    of_part = parts[number - 1].checksum
    for name in [name for name in headers if name.startswith("x-amz-checksum-")]:
        if of_part and name != "x-amz-checksum-type":
            headers[name] = of_part
        else:
            del headers[name]
    return 206, headers, content[first : last + 1]


@patches.replaces(S3Response, "head_object", "moto omits headers that GetObject has.")
def _head_object(response: Any, bucket_name: str, query: dict[str, Any], key_name: str, headers: Any) -> Response:
    response._set_action("KEY", "HEAD", query)
    response._authenticate_and_authorize_s3_action(bucket_name=bucket_name, key_name=key_name)
    status, answer, _ = response.get_object()
    return status, answer, ""


@patches.replaces(S3Response, "get_object_attributes", "moto omits the parts of an object.")
def _get_object_attributes(response: Any) -> Response:
    key, _ = response._get_key(validate_storage_class=False)
    wanted = response.headers.get("x-amz-object-attributes", "").replace(" ", "").split(",")
    attributes = {
        "ETag": key.etag.strip('"'),
        "ObjectSize": key.size,
        "StorageClass": key.storage_class,
        "Checksum": {
            f"Checksum{key.checksum_algorithm}": key.checksum_value,  # without the number of parts
            "ChecksumType": key.checksum_type,
        },
    }
    if key.completed_parts:
        attributes["ObjectParts"] = _object_parts(response.headers, key)
    result = {name: value for name, value in attributes.items() if name in wanted}
    response.data["Action"] = "GetObjectAttributes"
    status, headers, body = response.serialized(ActionResult(result | {"LastModified": key.last_modified}))
    if key.version_id != "null":
        headers["x-amz-version-id"] = key.version_id
    return status, headers | response._get_cors_headers_other(), body


def _object_parts(headers: Any, key: Any) -> dict[str, Any]:
    """Return the number of parts, and a list of them only if they were uploaded with checksums."""
    facts: dict[str, Any] = {"TotalPartsCount": len(key.completed_parts)}
    marker = int(headers.get("x-amz-part-number-marker", 0))
    most = int(headers.get("x-amz-max-parts", 1000))
    after = [part for part in key.completed_parts if part.number > marker and part.checksum]
    if after:
        name = f"Checksum{key.checksum_algorithm}"
        listed = [{"PartNumber": part.number, "Size": part.size, name: part.checksum} for part in after[:most]]
        facts |= {"PartNumberMarker": marker, "MaxParts": most, "IsTruncated": len(after) > most, "Parts": listed}
        facts["NextPartNumberMarker"] = listed[-1]["PartNumber"] if listed else marker
    return facts
