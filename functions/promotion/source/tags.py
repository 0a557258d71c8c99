"""The tags of Model Promotion on training jobs, models, endpoint configs and endpoints."""

from __future__ import annotations

from promotion.aws.input_checks import did_you_mean, quoted

TAG = "model-promotion:"


APPLICATION_TAG = f"{TAG}application"


CREATED_AT_TAG = f"{TAG}created-at"


DIGEST_TAG = f"{TAG}digest"


EXECUTION_TAG = f"{TAG}execution"


INFERENCE_CODE_TAG = f"{TAG}inference-code"


INFERENCE_IMAGE_TAG = f"{TAG}inference-image"


INFERENCE_PROGRAM_TAG = f"{TAG}inference-program"


SMOKE_TEST_TAG = f"{TAG}smoke-test"


SOURCE_TAG = f"{TAG}source"


STAGE_TAG = f"{TAG}stage"  # of an approval: IAM policies permit decisions on those of one stage


_TAGS = (
    APPLICATION_TAG,
    CREATED_AT_TAG,
    DIGEST_TAG,
    EXECUTION_TAG,
    INFERENCE_CODE_TAG,
    INFERENCE_IMAGE_TAG,
    INFERENCE_PROGRAM_TAG,
    SMOKE_TEST_TAG,
    SOURCE_TAG,
)


def of_properties(properties: dict[str, str]) -> dict[str, str]:
    """Return the tags of this project in the CustomerMetadataProperties of a model package version.

    A version cannot have tags.
    """
    return {key: value for key, value in properties.items() if key.startswith(TAG)}


def misspelled(tags: dict[str, str]) -> str:
    """Return a sentence about an unknown tag that resembles the application tag, or an empty string."""
    for tag in sorted(tags):
        suggestion = did_you_mean(tag, _TAGS) if tag not in _TAGS else ""
        if f'"{APPLICATION_TAG}"' in suggestion:
            return f" It has the unknown tag {quoted(tag)}{suggestion}."
    return ""
