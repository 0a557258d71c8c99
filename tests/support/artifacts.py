"""Pinned S3 objects for the artifacts of a model."""

from typing import Any

from promotion.copying.manifest import PinnedObject


def pinned(name: str = "model.tar.gz", **changes: Any) -> PinnedObject:
    attributes: dict[str, Any] = {
        "bucket": "artifacts",
        "key": f"reviews-1/output/{name}",
        "name": name,
        "size": 1000,
        "etag": '"e1"',
        "version_id": None,
        "checksum_algorithm": "CRC64NVME",
        "checksum": "c1",
    }
    return PinnedObject(**attributes | changes)
