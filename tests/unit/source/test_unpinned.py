from __future__ import annotations

import pytest

from promotion.source.unpinned import descriptions, secrets

COMMIT = "0f" * 20
HUB = "Containers[0].Environment.{}: fetched at start from the model hub, org/model-7b"


def of(**environment: str) -> list[str]:
    return descriptions([{"Environment": environment}], ["KEPT"])


@pytest.mark.parametrize(
    "name", ["HF_MODEL_ID", "OPTION_MODEL_ID", "SM_VLLM_MODEL", "SM_SGLANG_MODEL_PATH", "MODEL_ID"]
)
def test_a_model_of_a_hub_is_not_pinned(name: str) -> None:
    assert of(**{name: "org/model-7b"}) == [HUB.format(name)]


@pytest.mark.parametrize("revision", ["main", "v1.0", COMMIT[:7], ""])
def test_a_revision_that_can_move_does_not_pin_a_model(revision: str) -> None:
    assert of(HF_MODEL_ID="org/model-7b", HF_MODEL_REVISION=revision) == [HUB.format("HF_MODEL_ID")]


def test_a_commit_pins_a_model() -> None:
    assert of(HF_MODEL_ID="org/model-7b", HF_MODEL_REVISION=COMMIT) == []
    assert of(SM_VLLM_MODEL="org/model-7b", SM_VLLM_REVISION=COMMIT) == []


@pytest.mark.parametrize("value", ["/opt/ml/model", "s3://bucket/model/", "./model"])
def test_a_path_and_an_artifact_are_no_model_of_a_hub(value: str) -> None:
    assert of(HF_MODEL_ID=value) == []


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("s3a://bucket/weights", "s3a://bucket/weights"),
        ('{"adapter": "s3://bucket/adapter/"}', "s3://bucket/adapter/"),
        ("--model s3://bucket/m --dtype auto", "s3://bucket/m"),
        ("arn:aws:s3:::bucket/weights", "arn:aws:s3:::bucket/weights"),
        (
            "https://bucket.s3.eu-west-1.amazonaws.com/m?X-Amz-Signature=abc",
            "https://bucket.s3.eu-west-1.amazonaws.com/m",
        ),
        ("https://s3.amazonaws.com/bucket/m", "https://s3.amazonaws.com/bucket/m"),
    ],
)
def test_an_address_that_cannot_be_rewritten_is_named_without_its_signature(value: str, address: str) -> None:
    assert of(A=value) == [f"Containers[0].Environment.A: fetched at start from {address}"]


def test_an_artifact_a_kept_value_and_any_other_value_are_not_named() -> None:
    assert of(A="s3://bucket/weights", KEPT="s3a://bucket/outputs", B="https://example.com/x", C="org/model") == []


def test_the_number_of_descriptions_is_limited() -> None:
    found = of(**{f"V{number:02}": "s3a://bucket/x" for number in range(25)})

    assert len(found) == 21
    assert found[-1] == "and 5 more"


PROPERTY = "Containers[0], option.model_id in serving.properties: fetched at start from {}"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"option.model_id": "org/model-7b"}, [PROPERTY.format("the model hub, org/model-7b")]),
        ({"option.model_id": "org/model-7b", "option.revision": COMMIT}, []),
        ({"option.model_id": "s3://bucket/weights/"}, [PROPERTY.format("s3://bucket/weights/")]),
        ({"option.model_id": "/opt/ml/model"}, []),
        ({"engine": "Python", "option.dtype": "fp16"}, []),
    ],
)
def test_weights_that_serving_properties_names_are_not_pinned(options: dict[str, str], expected: list[str]) -> None:
    assert descriptions([{}], [], {0: options}) == expected
    assert descriptions([{}], ["OPTION_MODEL_ID"], {0: options}) == []


@pytest.mark.parametrize(
    "name",
    ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "hf_token", "API_KEY", "OPENAI_API_KEY", "DB_PASSWORD", "CLIENT_SECRET"],
)
def test_a_secret_is_named_without_its_value(name: str) -> None:
    found = secrets([{}, {"Environment": {name: "hf_123", "THREADS": "2", "MAX_TOKENS": "5", "TOKENIZER": "s3://b/t"}}])

    assert found == [f"Containers[1].Environment.{name}"]
    assert secrets([{"Environment": {name: ""}}]) == []
