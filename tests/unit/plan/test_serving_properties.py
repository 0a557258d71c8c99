"""The file serving.properties in a model: where it is found, and what it names."""

from __future__ import annotations

import gzip
import io
from typing import Any

import pytest

from promotion.copying.references import Reference
from promotion.errors import PromotionRefusedError
from promotion.plan import serving_properties
from promotion.plan.content import Content
from promotion.source.candidate import Candidate
from promotion.stage import Stage
from tests.support.archives import noise, tar_gz
from tests.support.artifacts import pinned
from tests.support.containers import IMAGE, container
from tests.support.s3_faults import client_error

LMI = "763104351884.dkr.ecr.eu-west-1.amazonaws.com/djl-inference:0.36.0-lmi19.0.0-cu128"
SKLEARN = "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
FILE = b"# weights\nengine=Python\noption.model_id = org/model-7b\n! note\noption.dtype: fp16\n"
STAGE = Stage("qa", "222222222222", "eu-west-1", "stage", "111111111111", {"bucket": "333333333333"})
VALUES = {"engine": "Python", "option.model_id": "org/model-7b", "option.dtype": "fp16"}


class S3:
    """S3 with one object."""

    def __init__(self, body: bytes = b"", error: Exception | None = None) -> None:
        self.body, self.error, self.requests = body, error, list[dict[str, Any]]()

    def get_object(self, **request: Any) -> dict[str, Any]:
        self.requests.append(request)
        if self.error:
            raise self.error
        first, _, last = request["Range"].removeprefix("bytes=").partition("-")
        return {"Body": io.BytesIO(self.body[int(first) : int(last) + 1])}


def content(image: str, name: str, *, is_prefix: bool = False) -> Content:
    one = container(Image=image)
    candidate = Candidate("reviews", {"kind": "model", "name": "m", "arn": "a"}, "2026-01-01T00:00:00Z", [one])
    field = ("ModelDataSource", "S3DataSource", "S3Uri") if is_prefix else ("ModelDataUrl",)
    path = (0, *field)
    objects = {path: [pinned(name="weights.bin"), pinned(name=name)] if is_prefix else [pinned(name=name)]}
    return Content(candidate, [Reference(path, "s3://bucket/key", is_prefix)], objects)


def read(s3: S3, image: str = IMAGE, name: str = "model.tar.gz", **options: bool) -> dict[int, dict[str, str]]:
    return serving_properties.read(s3, content(image, name, **options), STAGE, None)


@pytest.mark.parametrize("image", [LMI, IMAGE])
@pytest.mark.parametrize("name", ["serving.properties", "./serving.properties"])
def test_the_file_in_the_root_of_an_archive_is_read(image: str, name: str) -> None:
    s3 = S3(tar_gz({"config.json": b"{}", name: FILE, "weights.bin": noise(3 * 1024**2)}))

    assert read(s3, image) == {0: VALUES}
    assert s3.requests[0]["Range"] == "bytes=0-1048575"
    assert s3.requests[0]["IfMatch"]


@pytest.mark.parametrize(
    "body",
    [
        tar_gz({"model/serving.properties": FILE}),
        tar_gz({"weights.bin": noise(3 * 1024**2), "serving.properties": FILE}),
        tar_gz({"weights.bin": bytes(32 * 1024**2), "serving.properties": FILE}),
        gzip.compress(noise(2000)),
        b"not gzip",
    ],
    ids=["in a folder", "behind the first MiB", "behind 16 MiB of zeros", "not tar", "not gzip"],
)
def test_a_file_elsewhere_is_not_found(body: bytes) -> None:
    assert read(S3(body)) == {}


def test_the_object_under_the_prefix_of_an_uncompressed_model_is_read() -> None:
    assert read(S3(FILE), LMI, "serving.properties", is_prefix=True) == {0: VALUES}
    assert read(S3(FILE), LMI, "other/serving.properties", is_prefix=True) == {}


def test_an_aws_image_that_does_not_run_djl_serving_needs_no_read() -> None:
    s3 = S3(tar_gz({"serving.properties": FILE}))

    assert read(s3, SKLEARN) == {}
    assert s3.requests == []


def test_an_object_that_changed_or_is_denied_is_refused() -> None:
    with pytest.raises(PromotionRefusedError, match="was overwritten or deleted"):
        read(S3(error=client_error("PreconditionFailed")))
    with pytest.raises(PromotionRefusedError, match='"Action": "s3:GetObject"'):
        read(S3(error=client_error("AccessDenied")))
