"""The files of a candidate's metrics."""

import dataclasses
import io
from typing import Any

import pytest
from botocore.exceptions import ClientError

from promotion.errors import TransientError
from promotion.plan import metric_files
from promotion.plan.metric_files import Metrics
from promotion.source.candidate import Candidate
from promotion.source.model_metrics import MAXIMUM_FILE_BYTES
from promotion.source.quality_gate import check, why_failed
from promotion.stage import Stage
from tests.support.s3_faults import client_error

STAGE = Stage("qa", "222222222222", "eu-west-1", "stage", "111111111111")
CANDIDATE = Candidate("reviews", {"name": "reviews-1"}, "2026-01-01T00:00:00Z", containers=[])


class S3:
    def __init__(self, answer: bytes | ClientError) -> None:
        self.answer = answer

    def get_object(self, **_: str) -> dict[str, Any]:
        if isinstance(self.answer, ClientError):
            raise self.answer
        return {"Body": io.BytesIO(self.answer)}


def fetched(answer: bytes | ClientError, uri: str = "s3://artifacts/evaluation.json") -> Metrics:
    return metric_files.read(S3(answer), dataclasses.replace(CANDIDATE, metrics_uri=uri), STAGE)


def test_the_file_of_metrics_is_read_from_upstream() -> None:
    assert fetched(b'{"f1": 0.5}') == Metrics({"f1": 0.5})


@pytest.mark.parametrize(
    ("answer", "uri", "reason"),
    [
        (b"f1=0.5", "s3://artifacts/evaluation.json", "JSON"),
        (b"1" * (MAXIMUM_FILE_BYTES + 1), "s3://artifacts/evaluation.json", "it is larger than 1048576 bytes"),
        (client_error("NoSuchKey"), "s3://artifacts/evaluation.json", "does not exist"),
        (client_error("AccessDenied"), "s3://artifacts/evaluation.json", "add this statement"),
        (b"{}", "https://artifacts/evaluation.json", "'https://artifacts/evaluation.json' is not "),
    ],
)
def test_an_unreadable_file_of_metrics_fails_only_a_quality_gate_that_requires_a_metric(
    answer: bytes | ClientError, uri: str, reason: str
) -> None:
    found = fetched(answer, uri)

    assert found.values == {}
    assert reason in found.note
    assert why_failed(check([], found.values, None, found.note)) is None
    assert reason in (why_failed(check([{"MetricName": "f1", "Minimum": 0}], found.values, None, found.note)) or "")


def test_a_transient_error_does_not_make_a_file_unreadable() -> None:
    with pytest.raises(TransientError):
        fetched(client_error("SlowDown"))
