"""The target of a rollback: the endpoint config, the models and the artifacts that it would restore."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from promotion.endpoint.sagemaker import describe_endpoint_config, describe_model
from promotion.endpoint.update import without_config
from promotion.history.cleanup import models_of, uris_in
from promotion.source.candidate import containers_of


def missing(sagemaker: Any, s3: Any, bucket: str, account: str, previous: str | None) -> str | None:
    """Return what no longer exists of the `previous` endpoint config, its models and their artifacts, or None.

    Only artifacts in the stage's `bucket` are checked. `previous` is None if there is no endpoint yet.
    """
    return next(_missing(sagemaker, s3, bucket, account, previous), None) if previous else None


def refusal(endpoint: str, previous: str | None, missing: str | None, settings: dict[str, Any]) -> str | None:
    """Return the reason not to update an endpoint because of what is `missing`, or None if the `settings` permit it.

    No settings permit an update without the live endpoint config, which SageMaker refuses.
    """
    if previous and missing == _config(previous):
        return without_config(endpoint, previous)
    if missing is None or not settings.get("RequireRollback", True):
        return None
    return (
        f"If the promotion failed, the endpoint {endpoint} could not be rolled back to the endpoint config {previous}: "
        f"{missing} no longer exists. The endpoint was not updated. Restore what is missing, or set "
        '"RequireRollback": false in the settings of the application to promote without a rollback. Then start the '
        "promotion again."
    )


def _missing(sagemaker: Any, s3: Any, bucket: str, account: str, config: str) -> Iterator[str]:
    """Yield what no longer exists of an endpoint config, its models and their artifacts."""
    description = describe_endpoint_config(sagemaker, config)
    if description is None:
        yield _config(config)
        return
    # The config of a component's endpoint has no model. The component's model has the same name.
    for name in sorted(models_of(description) or {config}):
        model = describe_model(sagemaker, name)
        if model is None:
            yield f"the model {name}"
            continue
        folder = f"s3://{bucket}/"
        for uri in sorted(set(uris_in(containers_of(model)))):
            prefix = uri.removeprefix(folder)
            if uri.startswith(f"{folder}models/") and not _has_object(s3, bucket, account, prefix):
                yield f"the artifact {uri} of the model {name}"


def _config(name: str) -> str:
    return f"the endpoint config {name}"


def _has_object(s3: Any, bucket: str, account: str, prefix: str) -> bool:
    found = s3.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1, ExpectedBucketOwner=account)
    return bool(found.get("Contents"))
