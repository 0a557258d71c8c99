import copy

import pytest

from promotion.copying.references import Reference, references, targets, with_values
from promotion.errors import PromotionRefusedError
from tests.support.artifacts import pinned
from tests.support.containers import ARTIFACT, IMAGE, container, s3_source


def test_all_uris_of_a_model_are_found_in_a_fixed_order() -> None:
    containers = [
        container(
            AdditionalModelDataSources=[
                {"ChannelName": "adapter", **s3_source("s3://artifacts/adapter/", "S3Prefix")},
                {"ChannelName": "draft", **s3_source("s3://artifacts/draft.gguf", "S3Object")},
            ],
            Environment={"Z": "s3://artifacts/z.json", "A": "s3://artifacts/a/", "THREADS": "2"},
        ),
        {"Image": IMAGE, "ModelDataSource": s3_source("s3://artifacts/weights/", "S3Prefix")},
    ]

    assert references(containers) == [
        Reference((0, "ModelDataUrl"), ARTIFACT, is_prefix=False),
        Reference(
            (0, "AdditionalModelDataSources", 0, "S3DataSource", "S3Uri"), "s3://artifacts/adapter/", is_prefix=True
        ),
        Reference(
            (0, "AdditionalModelDataSources", 1, "S3DataSource", "S3Uri"), "s3://artifacts/draft.gguf", is_prefix=False
        ),
        Reference((0, "Environment", "A"), "s3://artifacts/a/", is_prefix=True),
        Reference((0, "Environment", "Z"), "s3://artifacts/z.json", is_prefix=False),
        Reference((1, "ModelDataSource", "S3DataSource", "S3Uri"), "s3://artifacts/weights/", is_prefix=True),
    ]


def test_the_uri_of_a_multi_model_container_is_a_prefix() -> None:
    found = references([container(Mode="MultiModel", ModelDataUrl="s3://artifacts/models")])

    assert found == [Reference((0, "ModelDataUrl"), "s3://artifacts/models", is_prefix=True)]


def test_a_model_without_artifacts_has_no_references() -> None:
    assert references([{"Image": IMAGE}]) == []


def test_a_submit_directory_inside_the_container_is_no_reference() -> None:
    inside = container(Environment={"SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"})

    assert [reference.path for reference in references([inside])] == [(0, "ModelDataUrl")]


def test_an_invalid_uri_is_refused() -> None:
    with pytest.raises(PromotionRefusedError, match=r"'s3://artifacts/\.\./x'"):
        references([container(Environment={"SAGEMAKER_SUBMIT_DIRECTORY": "s3://artifacts/../x"})])


def test_an_object_is_copied_under_the_prefix_and_its_path_in_the_model() -> None:
    reference = Reference((0, "ModelDataUrl"), ARTIFACT, is_prefix=False)

    address, placed = targets(reference, [pinned()], "models/reviews/abc")

    assert address == "models/reviews/abc/0/ModelDataUrl/model.tar.gz"
    assert placed == [pinned(target="models/reviews/abc/0/ModelDataUrl/model.tar.gz")]


def test_the_objects_of_a_prefix_keep_their_relative_keys() -> None:
    reference = Reference((1, "ModelDataSource", "S3DataSource", "S3Uri"), "s3://artifacts/weights/", is_prefix=True)

    address, placed = targets(reference, [pinned("a.bin"), pinned("deep/b.bin")], "models/reviews/abc")

    assert address == "models/reviews/abc/1/ModelDataSource/S3DataSource/S3Uri/"
    assert [one.target for one in placed] == [address + "a.bin", address + "deep/b.bin"]


def test_two_sources_with_the_same_key_have_different_targets() -> None:
    first = Reference((0, "ModelDataUrl"), "s3://one/model.tar.gz", is_prefix=False)
    second = Reference((1, "ModelDataUrl"), "s3://two/model.tar.gz", is_prefix=False)

    same_model = {targets(one, [pinned()], "models/reviews/abc")[0] for one in (first, second)}
    other_model = {targets(first, [pinned()], f"models/reviews/{digest}")[0] for digest in ("abc", "def")}

    assert len(same_model) == len(other_model) == 2


def test_a_target_key_can_have_at_most_1024_bytes() -> None:
    reference = Reference((0, "ModelDataUrl"), "s3://artifacts/models/", is_prefix=True)
    room = 1024 - len("models/reviews/abc/0/ModelDataUrl/")

    _, placed = targets(reference, [pinned("n" * room)], "models/reviews/abc")
    with pytest.raises(PromotionRefusedError) as error:
        targets(reference, [pinned("n" * (room - 1) + "ü")], "models/reviews/abc")

    assert len(placed[0].target) == 1024
    assert "a key of 1025 bytes; S3 allows 1,024. Shorten the object's key." in str(error.value)


def test_values_are_replaced_in_a_copy() -> None:
    containers = [container(Environment={"A": "s3://artifacts/a", "THREADS": "2"})]
    before = copy.deepcopy(containers)

    changed = with_values(containers, {(0, "Environment", "A"): "s3://here/a", (0, "ModelDataUrl"): "s3://here/m"})

    assert changed == [container(ModelDataUrl="s3://here/m", Environment={"A": "s3://here/a", "THREADS": "2"})]
    assert containers == before


FOLDER = Reference((0, "Environment", "TOKENIZER"), "s3://artifacts/tokenizer", is_prefix=False)


def test_a_variable_can_refer_to_an_object_or_a_prefix() -> None:
    prefix = "models/reviews/abc"
    inside = pinned("vocab.txt", key="tokenizer/vocab.txt")

    assert targets(FOLDER, [inside], prefix)[0] == "models/reviews/abc/0/Environment/TOKENIZER"
    assert targets(FOLDER, [inside], prefix)[1][0].target == "models/reviews/abc/0/Environment/TOKENIZER/vocab.txt"
    assert (
        targets(FOLDER, [pinned("tokenizer", key="tokenizer")], prefix)[0]
        == f"{prefix}/0/Environment/TOKENIZER/tokenizer"
    )


def test_only_a_variable_can_refer_to_an_object_or_a_prefix() -> None:
    assert FOLDER.may_be_prefix
    assert not Reference((0, "Environment", "A"), "s3://artifacts/a/", is_prefix=True).may_be_prefix
    assert not Reference((0, "ModelDataUrl"), ARTIFACT, is_prefix=False).may_be_prefix


@pytest.mark.parametrize("key", ["meta/llama/artifacts/", "meta/llama/model.tar.gz"])
def test_an_artifact_in_the_bucket_of_gated_models_is_refused_with_the_reason(key: str) -> None:
    source = s3_source(f"s3://jumpstart-private-cache-prod-eu-west-1/{key}", ModelAccessConfig={"AcceptEula": True})

    with pytest.raises(PromotionRefusedError) as refused:
        references([container(ModelDataUrl=None, ModelDataSource=source)])

    assert "Containers[0].ModelDataSource.S3DataSource.S3Uri is s3://jumpstart-private-cache" in str(refused.value)
    assert "in the bucket of the gated models of JumpStart. Only SageMaker can read it" in str(refused.value)
