"""S3 as the copiers of the functions call it: their own requests, answered by `services`."""

from __future__ import annotations

import urllib.parse
from collections.abc import AsyncIterator, Callable
from typing import Any
from xml.etree import ElementTree as ET

from promotion.copying.s3_client import Reply

_OPERATIONS = {"HeadObject", "ListObjectsV2", "GetObjectTagging", "CopyObject"}


class Requests:
    """The interface of S3Requests, with the clients of the simulation."""

    def __init__(self, client: Callable[[str], Any], s3: Any, bucket: str) -> None:
        self._s3, self._bucket = s3, bucket

    def close(self) -> None:
        pass

    async def send(
        self, operation: str, method: str, key: str = "", query: Any = None, headers: Any = None, *_: Any, **__: Any
    ) -> Reply:
        """Return the reply to a request."""
        assert operation in _OPERATIONS, operation
        request: dict[str, Any] = {"Bucket": self._bucket}
        if key:
            request["Key"] = key
        if operation == "ListObjectsV2":
            request["Prefix"] = query["prefix"]
        if operation == "CopyObject":
            request["CopySource"] = urllib.parse.unquote(headers["x-amz-copy-source"])
        call = {"HeadObject": "head_object", "ListObjectsV2": "list_objects_v2"}
        names = call | {"GetObjectTagging": "get_object_tagging", "CopyObject": "copy_object"}
        answer = getattr(self._s3, names[operation])(**request)
        root = ET.Element("Answer")
        if operation == "ListObjectsV2":
            ET.SubElement(root, "IsTruncated").text = "false"
            for each in answer["Contents"]:
                ET.SubElement(ET.SubElement(root, "Contents"), "Key").text = each["Key"]
        for name in ("ETag", "ChecksumCRC64NVME"):
            ET.SubElement(root, name).text = answer.get(name, "")
        return Reply(answer.get("Headers", {}), root, 0, b"")

    async def pages(self, operation: str, key: str, query: Any, headers: Any, markers: Any) -> AsyncIterator[Reply]:
        """Yield the only page of a list."""
        if operation == "ListMultipartUploads":
            return
        yield await self.send(operation, "GET", key, query, headers)
