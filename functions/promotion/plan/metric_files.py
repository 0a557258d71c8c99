"""The file of a candidate's metrics, in the upstream account."""

from __future__ import annotations

import dataclasses
from typing import Any

from aws_lambda_powertools import Logger
from botocore.exceptions import ClientError

from promotion.aws import s3_uri
from promotion.copying.incoming import Reader
from promotion.copying.s3_errors import explained
from promotion.errors import PromotionRefusedError
from promotion.plan import upstream_files
from promotion.source import model_metrics
from promotion.source.candidate import Candidate
from promotion.stage import Stage

logger = Logger(child=True)

_MAXIMUM_NOTE_CHARACTERS = 1000


@dataclasses.dataclass(frozen=True)
class Metrics:
    """A candidate's metrics by name, and the reason if its file of metrics could not be read."""

    values: dict[str, float]
    note: str = ""


def read(s3: Any, candidate: Candidate, stage: Stage, reader: Reader | None = None) -> Metrics:
    """Return the candidate's metrics, from SageMaker or from a file in a bucket that `stage` may read.

    `reader` is the role of the upstream account for a file whose KMS key this stage cannot use.

    An unreadable file is only noted, because a promotion without a quality gate does not require it.
    """
    uri = candidate.metrics_uri
    if uri is None:
        return Metrics(candidate.metrics)
    try:
        bucket, key = s3_uri.bucket_and_key(uri)
        body = upstream_files.get_object(s3, reader, bucket, key, stage.owner_of(bucket))["Body"]
        text = body.read(model_metrics.MAXIMUM_FILE_BYTES + 1)
        if len(text) > model_metrics.MAXIMUM_FILE_BYTES:
            raise model_metrics.UnreadableMetricsError(f"it is larger than {model_metrics.MAXIMUM_FILE_BYTES} bytes")
        return Metrics(model_metrics.read(text))
    except ClientError as error:
        refused = explained(error, "s3:GetObject", f"arn:aws:s3:::{bucket}/{key}", uri, stage.owner_of(bucket))
        if not isinstance(refused, PromotionRefusedError):
            raise refused from error
        reason = str(refused)
    except (PromotionRefusedError, model_metrics.UnreadableMetricsError) as error:
        reason = str(error)
    logger.warning("Metrics not read", source=uri, reason=reason)
    return Metrics({}, f"the file of metrics {uri} could not be read: {reason}"[:_MAXIMUM_NOTE_CHARACTERS])
