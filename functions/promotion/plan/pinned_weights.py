"""The requirement of a stage or an application that a promotion pins everything that a model loads."""

from __future__ import annotations

from typing import Any

from promotion.aws import service_model
from promotion.errors import PromotionRefusedError
from promotion.source import unpinned


def not_pinned(
    containers: list[dict[str, Any]],
    settings: dict[str, Any],
    application: str,
    properties: dict[int, dict[str, str]],
    *,
    required_by_stage: bool,
) -> list[str]:
    """Return what the digest of a model with `containers` does not pin.

    `containers` have the environment of the settings, `properties` are as in `unpinned.descriptions`. Raise
    PromotionRefusedError if there is something, and the stage or the settings require pinned weights.
    """
    found = unpinned.descriptions(containers, settings.get("KeptVariables", []), properties)
    if found and (required_by_stage or settings.get("RequirePinnedWeights")):
        who = "This stage requires" if required_by_stage else f"The settings of {application} require"
        raise PromotionRefusedError(
            f"{who} pinned weights (RequirePinnedWeights), but the digest of the model "
            f"does not cover: {'; '.join(found)}. Pin a model of a hub by a commit, put the files into the artifacts "
            "of the model, or use an s3:// URI as the complete value of the variable. If a value is not an artifact, "
            "add its variable to KeptVariables."
        )
    return found


def kept_variables(value: Any, where: str) -> list[str]:
    """Return the setting KeptVariables, a list of names; raise InvalidRequestError if it is something else."""
    shape = service_model.input_shape("sagemaker", "CreateModel").members["PrimaryContainer"].members["Environment"].key
    return service_model.checked_names(shape, value, where)
