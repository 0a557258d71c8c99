"""What an approval covers: the candidate, and the deployment, which is everything that decides what an endpoint serves.

The stage's bucket stores both as documents, by their digests, to explain a difference.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from promotion.aws.aws_errors import Meaning, meaning
from promotion.copying.digest import changed, digest_of
from promotion.endpoint.sagemaker import describe_model
from promotion.errors import PromotionRefusedError
from promotion.naming import sha256_of
from promotion.plan import other_models
from promotion.plan.metric_files import Metrics
from promotion.plan.requests import Requests
from promotion.plan.smoke_test_files import SuiteFiles
from promotion.source.candidate import Candidate
from promotion.stage import Stage

# Tags serve nothing, and names follow from the other members.
_NOT_COVERED = {"EndpointConfigName", "ModelName", "Tags"}
_CHANGING = {"CreationTime", "DeploymentRecommendation", "ResponseMetadata"}


def deployment(
    candidate: Candidate,
    requests: Requests,
    settings: dict[str, Any],
    suite: SuiteFiles,
    metrics: Metrics,
    sagemaker: Any,
) -> dict[str, Any]:
    """Return the document of a deployment.

    It is the same for each execution. Retention is not part of it.
    """
    own, config = requests.model["ModelName"], _covered(requests.endpoint_config)
    for kind in ("ProductionVariants", "ShadowProductionVariants"):
        if kind in config:
            config[kind] = [_covered(each) if each.get("ModelName") == own else each for each in config[kind]]
    return {
        "Application": candidate.application,
        "CreatedAt": candidate.created_at,
        "Model": _covered(requests.model),
        "EndpointConfig": config,
        **({"InferenceComponent": settings["InferenceComponent"]} if "InferenceComponent" in settings else {}),
        "DeploymentConfig": settings.get("DeploymentConfig"),
        "Autoscaling": settings.get("Autoscaling"),
        "QualityGate": settings.get("QualityGate"),
        "Metrics": metrics.values,
        "SmokeTest": suite.identity,
        "ShadowModels": _other_models(sagemaker, requests, "ShadowProductionVariants"),
        # Only if there are any, so that the digest of a deployment without them is that of earlier versions.
        **({"VariantModels": models} if (models := _other_models(sagemaker, requests, "ProductionVariants")) else {}),
        **{key: settings[key] for key in ("SmokeTestFunction",) if key in settings},
    }


def _other_models(sagemaker: Any, requests: Requests, kind: str) -> dict[str, Any]:
    """Return the descriptions of the other models of the account that variants of a kind name, by their names."""
    names = other_models.names(requests.endpoint_config, kind, requests.model["ModelName"])
    return {name: _stable(describe_model(sagemaker, name)) for name in names}


def _covered(request: dict[str, Any]) -> dict[str, Any]:
    return {member: value for member, value in request.items() if member not in _NOT_COVERED}


def _stable(description: dict[str, Any] | None) -> dict[str, Any] | None:
    return description and {member: value for member, value in description.items() if member not in _CHANGING}


def files(documents: dict[str, dict[str, Any]]) -> dict[str, bytes]:
    """Return the files, by their keys in the stage's bucket, of documents by their digests.

    Their environments have hashes instead of values, which may be secrets.
    """
    return {_key(digest): json.dumps(_without_values(document)).encode() for digest, document in documents.items()}


def _without_values(document: Any) -> Any:
    """Return a document with the hash of each value of an environment."""
    if isinstance(document, list):
        return [_without_values(each) for each in document]
    if not isinstance(document, dict):
        return document
    return {
        member: {name: f"sha256:{sha256_of([name, each])}" for name, each in value.items()}
        if member == "Environment" and isinstance(value, dict)
        else _without_values(value)
        for member, value in document.items()
    }


def _key(digest: str) -> str:
    """Return the key of the document with a digest; it expires with the manifests."""
    return f"manifests/{digest}.json"


def assert_candidate(s3: Any, stage: Stage, source: str, identity: dict[str, Any], approved: str | None) -> None:
    """Raise PromotionRefusedError, with the changes, if there is an `approved` digest and `identity` has another one.

    `source` is the name of the candidate's source. The values of its environment come from another account, so they
    are not shown.
    """
    _assert_approved(s3, stage, source, identity, digest_of(identity), approved, lambda path: path.endswith(".Image"))


def assert_deployment(s3: Any, stage: Stage, document: dict[str, Any], approved: str | None) -> str:
    """Return the digest of a deployment; raise PromotionRefusedError as `assert_candidate` does."""
    what, actual = f"The deployment of {document['Application']}", sha256_of(document)
    _assert_approved(s3, stage, what, document, actual, approved, lambda _: True)
    return actual


def _assert_approved(
    s3: Any,
    stage: Stage,
    what: str,
    document: dict[str, Any],
    actual: str,
    approved: str | None,
    shows: Callable[[str], bool],
) -> None:
    if approved is not None and actual != approved:
        raise PromotionRefusedError(
            f"{what} has changed since its approval: its digest is {actual}, the approved digest is {approved}. "
            f"Changes: {_changes(s3, stage, approved, document, shows)}. Find out who changed it, then start the "
            "promotion again to request a new approval."
        )


def _changes(s3: Any, stage: Stage, approved: str, document: dict[str, Any], shows: Callable[[str], bool]) -> str:
    """Return the differences from the approved document, which was written with the approval request."""
    try:
        response = s3.get_object(Bucket=stage.bucket, Key=_key(approved), ExpectedBucketOwner=stage.account)
    except ClientError as error:
        if meaning(error) not in (Meaning.NOT_FOUND, Meaning.DENIED):
            raise
        return "unknown, because the record of what was approved no longer exists"
    return changed(json.loads(response["Body"].read()), _without_values(document), shows)
