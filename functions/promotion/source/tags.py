"""The tags of Model Promotion on training jobs, models, endpoint configs and endpoints."""

from __future__ import annotations

import difflib

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


OUTCOME_TAG = f"{TAG}outcome-in-"  # with the name of a stage: the function of upstream.yaml writes it


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


# Of 25 letters: "modelpromotionaplication" has 0.98, "promotionapplication" 0.89, "modelapplication" 0.78.
_RESEMBLING = 0.9


def of_properties(properties: dict[str, str]) -> dict[str, str]:
    """Return the tags of this project in the CustomerMetadataProperties of a model package version.

    A version cannot have tags.
    """
    return {key: value for key, value in properties.items() if key.startswith(TAG)}


def misspelled(tags: dict[str, str]) -> str:
    """Return a sentence about an unknown tag that was meant to be the application tag, or an empty string.

    A tag of another team must not count, since people are notified: "model-application", for example.
    """
    for tag in sorted(tags):
        suggestion = "" if tag in _TAGS or tag.startswith(OUTCOME_TAG) else did_you_mean(tag, _TAGS)
        if f'"{APPLICATION_TAG}"' in suggestion and (tag.casefold().startswith(TAG) or _resembles_application(tag)):
            return f" It has the unknown tag {quoted(tag)}{suggestion}."
    return ""


def _resembles_application(tag: str) -> bool:
    return difflib.SequenceMatcher(None, _folded(tag), _folded(APPLICATION_TAG)).ratio() >= _RESEMBLING


def _folded(tag: str) -> str:
    return "".join(filter(str.isalnum, tag.casefold()))
