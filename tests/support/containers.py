"""Containers of a model in SageMaker's format, and the locations of their artifacts."""

from typing import Any

IMAGE = "111111111111.dkr.ecr.eu-west-1.amazonaws.com/reviews:1"
ARTIFACT = "s3://artifacts/reviews-1/output/model.tar.gz"


def container(**changes: Any) -> dict[str, Any]:
    return {"Image": IMAGE, "ModelDataUrl": ARTIFACT, **changes}


def s3_source(uri: str = "s3://artifacts/weights/", kind: str = "S3Prefix", **changes: Any) -> dict[str, Any]:
    return {"S3DataSource": {"S3Uri": uri, "S3DataType": kind, "CompressionType": "None", **changes}}
