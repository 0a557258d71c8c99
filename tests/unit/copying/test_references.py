import copy
import dataclasses
import json
from typing import Any

import pytest

from promotion.aws.s3_uri import bucket_and_key
from promotion.copying.digest import changed, digest_of, identity
from promotion.copying.manifest import PinnedObject
from promotion.copying.references import Path, Reference, references, targets, with_values
from promotion.errors import PromotionRefusedError

IMAGE = "111111111111.dkr.ecr.eu-west-1.amazonaws.com/reviews:1"
ARTIFACT = "s3://artifacts/reviews-1/output/model.tar.gz"


def container(**changes: Any) -> dict[str, Any]:
    return {"Image": IMAGE, "ModelDataUrl": ARTIFACT, **changes}


def s3_source(uri: str, kind: str) -> dict[str, Any]:
    return {"S3DataSource": {"S3Uri": uri, "S3DataType": kind, "CompressionType": "None"}}


def pinned(name: str = "model.tar.gz", **changes: Any) -> PinnedObject:
    attributes: dict[str, Any] = {
        "bucket": "artifacts",
        "key": f"reviews-1/output/{name}",
        "name": name,
        "size": 1000,
        "etag": '"e1"',
        "version_id": None,
        "checksum_algorithm": "CRC64NVME",
        "checksum": "c1",
    }
    return PinnedObject(**attributes | changes)


@pytest.mark.parametrize(
    ("uri", "bucket", "key"),
    [
        ("s3://artifacts/model.tar.gz", "artifacts", "model.tar.gz"),
        ("s3://my.bucket-1/a/b/c", "my.bucket-1", "a/b/c"),
        ("s3://artifacts/prefix/", "artifacts", "prefix/"),
        ("s3://artifacts/a+b & c=%25#d?e", "artifacts", "a+b & c=%25#d?e"),
        ("s3://artifacts/größe/模型.tar.gz", "artifacts", "größe/模型.tar.gz"),
        ("s3://artifacts/..a/b..", "artifacts", "..a/b.."),
        ("s3://artifacts/" + "k" * 1024, "artifacts", "k" * 1024),
        ("s3://" + "b" * 63 + "/k", "b" * 63, "k"),
    ],
)
def test_an_address_is_a_bucket_and_a_key(uri: str, bucket: str, key: str) -> None:
    assert bucket_and_key(uri) == (bucket, key)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "model.tar.gz",
        "s3://artifacts",
        "s3://artifacts/",
        "s3:///key",
        "s3://artifacts//key",
        "https://artifacts.s3.amazonaws.com/key",
        "file:///etc/passwd",
        "s3a://artifacts/key",
        "S3://artifacts/key",
        " s3://artifacts/key",
        "s3://Artifacts/key",
        "s3://my_bucket/key",
        "s3://ab/key",
        "s3://" + "b" * 64 + "/key",
        "s3://-bucket/key",
        "s3://artifacts/" + "k" * 1025,
        "s3://artifacts/" + "ü" * 513,
    ],
)
def test_what_is_no_address_of_an_object_is_refused(uri: str) -> None:
    with pytest.raises(PromotionRefusedError, match="is not the address of an object in S3: s3://<bucket>/<key>"):
        bucket_and_key(uri)


@pytest.mark.parametrize("key", ["../x", "a/../b", "./a", "a/.", "..", "a/./b"])
def test_a_key_that_clients_resolve_away_is_refused(key: str) -> None:
    with pytest.raises(PromotionRefusedError, match="which clients resolve away"):
        bucket_and_key(f"s3://artifacts/{key}")


@pytest.mark.parametrize("character", ["\x00", "\n", "\r", "\x7f", "\u202e", "\ud800", "\u2028"])
def test_a_key_with_characters_that_cannot_be_shown_is_refused_and_shown_escaped(character: str) -> None:
    with pytest.raises(PromotionRefusedError) as error:
        bucket_and_key(f"s3://artifacts/a{character}b")

    assert "has characters that cannot be shown" in str(error.value)
    assert str(error.value).isprintable()
    assert str(error.value).isascii()


def test_every_address_of_a_model_is_found_in_a_fixed_order() -> None:
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


def test_the_address_of_a_multi_model_container_is_a_prefix() -> None:
    found = references([container(Mode="MultiModel", ModelDataUrl="s3://artifacts/models")])

    assert found == [Reference((0, "ModelDataUrl"), "s3://artifacts/models", is_prefix=True)]


def test_a_model_without_artifacts_has_no_addresses() -> None:
    assert references([{"Image": IMAGE}]) == []


def test_a_submit_directory_inside_the_container_is_left_alone() -> None:
    inside = container(Environment={"SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"})

    assert [reference.path for reference in references([inside])] == [(0, "ModelDataUrl")]


def test_one_bad_address_refuses_the_whole_model() -> None:
    with pytest.raises(PromotionRefusedError, match=r"'s3://artifacts/\.\./x'"):
        references([container(Environment={"SAGEMAKER_SUBMIT_DIRECTORY": "s3://artifacts/../x"})])


def test_an_object_goes_below_the_prefix_and_the_place_it_has_in_the_model() -> None:
    reference = Reference((0, "ModelDataUrl"), ARTIFACT, is_prefix=False)

    address, placed = targets(reference, [pinned()], "models/reviews/abc")

    assert address == "models/reviews/abc/0/ModelDataUrl/model.tar.gz"
    assert placed == [pinned(target="models/reviews/abc/0/ModelDataUrl/model.tar.gz")]


def test_the_objects_of_a_prefix_keep_their_order_below_it() -> None:
    reference = Reference((1, "ModelDataSource", "S3DataSource", "S3Uri"), "s3://artifacts/weights/", is_prefix=True)

    address, placed = targets(reference, [pinned("a.bin"), pinned("deep/b.bin")], "models/reviews/abc")

    assert address == "models/reviews/abc/1/ModelDataSource/S3DataSource/S3Uri/"
    assert [one.target for one in placed] == [address + "a.bin", address + "deep/b.bin"]


def test_two_sources_of_the_same_key_do_not_overwrite_each_other() -> None:
    first = Reference((0, "ModelDataUrl"), "s3://one/model.tar.gz", is_prefix=False)
    second = Reference((1, "ModelDataUrl"), "s3://two/model.tar.gz", is_prefix=False)

    same_model = {targets(one, [pinned()], "models/reviews/abc")[0] for one in (first, second)}
    other_model = {targets(first, [pinned()], f"models/reviews/{digest}")[0] for digest in ("abc", "def")}

    assert len(same_model) == len(other_model) == 2


def test_a_target_of_1024_bytes_is_allowed_and_one_more_is_refused() -> None:
    reference = Reference((0, "ModelDataUrl"), "s3://artifacts/models/", is_prefix=True)
    room = 1024 - len("models/reviews/abc/0/ModelDataUrl/")

    _, placed = targets(reference, [pinned("n" * room)], "models/reviews/abc")
    with pytest.raises(PromotionRefusedError) as error:
        targets(reference, [pinned("n" * (room - 1) + "ü")], "models/reviews/abc")

    assert len(placed[0].target) == 1024
    assert "a key of 1025 bytes; S3 allows 1,024. Shorten its key." in str(error.value)


def test_values_are_replaced_in_a_copy() -> None:
    containers = [container(Environment={"A": "s3://artifacts/a", "THREADS": "2"})]
    before = copy.deepcopy(containers)

    changed = with_values(containers, {(0, "Environment", "A"): "s3://here/a", (0, "ModelDataUrl"): "s3://here/m"})

    assert changed == [container(ModelDataUrl="s3://here/m", Environment={"A": "s3://here/a", "THREADS": "2"})]
    assert containers == before


def test_a_pinned_object_is_one_line_of_ascii_in_a_manifest() -> None:
    one = pinned("größe \u2028 模型.bin", attributes={"content-type": "x", "x-amz-meta-a": "b"}, target="models/x")

    line = one.to_line()

    assert PinnedObject.from_line(line) == one
    assert line.isascii()
    assert line.splitlines(keepends=True) == [line]
    assert json.loads(line)["name"] == one.name


# What a digest is of: two containers with an artifact each, and a third one's weights.
CONTAINERS = [
    container(Environment={"SAGEMAKER_SUBMIT_DIRECTORY": "s3://artifacts/source.tar.gz", "THREADS": "2"}),
    {"Image": IMAGE, "ModelDataSource": s3_source("s3://artifacts/weights/", "S3Prefix")},
]
CONTENT: dict[Path, list[PinnedObject]] = {
    (0, "ModelDataUrl"): [pinned()],
    (0, "Environment", "SAGEMAKER_SUBMIT_DIRECTORY"): [pinned("source.tar.gz", checksum="c2")],
    (1, "ModelDataSource", "S3DataSource", "S3Uri"): [pinned("a.bin", checksum="c3"), pinned("b.bin", checksum="c4")],
}


def digest(*of: Any) -> str:
    return digest_of(identity(*of))


DIGEST = digest(CONTAINERS, {"Mode": "Serial"}, False, CONTENT)


def moved(one: PinnedObject) -> PinnedObject:
    return dataclasses.replace(one, bucket="elsewhere", key=f"moved/{one.name}", etag='"other"', version_id="v7")


def test_the_same_content_elsewhere_has_the_same_digest() -> None:
    elsewhere = with_values(
        CONTAINERS,
        {
            (0, "ModelDataUrl"): "s3://elsewhere/moved/model.tar.gz",
            (0, "Environment", "SAGEMAKER_SUBMIT_DIRECTORY"): "s3://elsewhere/moved/source.tar.gz",
            (1, "ModelDataSource", "S3DataSource", "S3Uri"): "s3://elsewhere/moved/",
        },
    )

    content = {path: [moved(one) for one in objects] for path, objects in CONTENT.items()}

    assert digest(elsewhere, {"Mode": "Serial"}, False, content) == DIGEST


def test_the_order_in_which_objects_are_listed_does_not_change_the_digest() -> None:
    content = {path: list(reversed(objects)) for path, objects in CONTENT.items()}

    assert digest(CONTAINERS, {"Mode": "Serial"}, False, content) == DIGEST


@pytest.mark.parametrize(
    "containers",
    [
        [CONTAINERS[0], {**CONTAINERS[1], "Image": IMAGE + ".1"}],
        [CONTAINERS[0], {**CONTAINERS[1], "Environment": {"THREADS": "2"}}],
        [{**CONTAINERS[0], "Environment": {**CONTAINERS[0]["Environment"], "THREADS": "3"}}, CONTAINERS[1]],
        [{**CONTAINERS[0], "ContainerHostname": "first"}, CONTAINERS[1]],
        [*CONTAINERS, {"Image": IMAGE}],
    ],
)
def test_another_image_environment_hostname_or_container_has_another_digest(containers: list[dict[str, Any]]) -> None:
    assert digest(containers, {"Mode": "Serial"}, False, CONTENT) != DIGEST


def test_another_order_of_the_containers_has_another_digest() -> None:
    swapped: dict[Path, list[PinnedObject]] = {(1 - int(path[0]), *path[1:]): one for path, one in CONTENT.items()}

    assert digest(list(reversed(CONTAINERS)), {"Mode": "Serial"}, False, swapped) != DIGEST


@pytest.mark.parametrize(
    "objects",
    [
        [pinned(checksum="c9")],
        [pinned(size=1001)],
        [pinned(checksum_algorithm="CRC32")],
        [pinned(), pinned("more.bin")],
        [dataclasses.replace(pinned(), name="renamed.tar.gz")],
    ],
)
def test_another_byte_size_or_file_has_another_digest(objects: list[PinnedObject]) -> None:
    assert digest(CONTAINERS, {"Mode": "Serial"}, False, CONTENT | {(0, "ModelDataUrl"): objects}) != DIGEST


def test_two_artifacts_that_changed_places_have_another_digest() -> None:
    first: Path = (0, "ModelDataUrl")
    second: Path = (0, "Environment", "SAGEMAKER_SUBMIT_DIRECTORY")

    swapped = CONTENT | {first: CONTENT[second], second: CONTENT[first]}

    assert digest(CONTAINERS, {"Mode": "Serial"}, False, swapped) != DIGEST


@pytest.mark.parametrize(("mode", "isolated"), [({"Mode": "Direct"}, False), (None, False), ({"Mode": "Serial"}, True)])
def test_another_mode_or_isolation_has_another_digest(mode: dict[str, Any] | None, isolated: bool) -> None:
    assert digest(CONTAINERS, mode, isolated, CONTENT) != DIGEST


def test_an_object_without_a_checksum_is_told_from_another_by_its_etag() -> None:
    path: Path = (0, "ModelDataUrl")
    without: dict[str, Any] = {"checksum_algorithm": None, "checksum": None}

    digests = {
        digest(CONTAINERS, None, False, CONTENT | {path: [pinned(etag=etag, **without)]}) for etag in ('"e1"', '"e2"')
    }

    assert len(digests) == 2


FOLDER = Reference((0, "Environment", "TOKENIZER"), "s3://artifacts/tokenizer", is_prefix=False)


def test_a_value_of_the_environment_may_be_an_object_or_a_folder_and_what_lies_there_decides() -> None:
    below = "models/reviews/abc"
    inside = pinned("vocab.txt", key="tokenizer/vocab.txt")

    assert targets(FOLDER, [inside], below)[0] == "models/reviews/abc/0/Environment/TOKENIZER"
    assert targets(FOLDER, [inside], below)[1][0].target == "models/reviews/abc/0/Environment/TOKENIZER/vocab.txt"
    assert (
        targets(FOLDER, [pinned("tokenizer", key="tokenizer")], below)[0]
        == f"{below}/0/Environment/TOKENIZER/tokenizer"
    )


def test_only_a_value_of_the_environment_may_be_either() -> None:
    assert FOLDER.may_be_prefix
    assert not Reference((0, "Environment", "A"), "s3://artifacts/a/", is_prefix=True).may_be_prefix
    assert not Reference((0, "ModelDataUrl"), ARTIFACT, is_prefix=False).may_be_prefix


BEFORE = identity(CONTAINERS, {"Mode": "Serial"}, False, CONTENT)


@pytest.mark.parametrize(
    ("after", "paths"),
    [
        (BEFORE, []),
        (
            identity(CONTAINERS, {"Mode": "Direct"}, True, CONTENT),
            ["EnableNetworkIsolation", "InferenceExecutionConfig.Mode"],
        ),
        (
            identity(CONTAINERS, {"Mode": "Serial"}, False, CONTENT | {(0, "ModelDataUrl"): [pinned(checksum="c9")]}),
            ["Containers[0].ModelDataUrl"],
        ),
        (
            identity([{**CONTAINERS[0], "Image": "x"}, CONTAINERS[1]], {"Mode": "Serial"}, False, CONTENT),
            [f"Containers[0].Image (approved was {IMAGE}, now it is x)"],
        ),
        (identity([*CONTAINERS, {"Image": IMAGE}], {"Mode": "Serial"}, False, CONTENT), ["Containers"]),
    ],
)
def test_what_changed_is_told_by_its_place_in_the_model(after: dict[str, Any], paths: list[str]) -> None:
    assert changed(BEFORE, after) == paths


@pytest.mark.parametrize(
    "change",
    [
        {"AdditionalModelDataSources": [{"ChannelName": "b", **s3_source("s3://artifacts/a/", "S3Prefix")}]},
        {"Mode": "MultiModel"},
        {"MultiModelConfig": {"ModelCacheSetting": "Disabled"}},
        {"ImageConfig": {"RepositoryAccessMode": "Platform"}},
        {"ContainerMetricsConfig": {"MetricsEndpoints": [{"MetricsEndpointPath": "/m"}]}},
        {"ModelDataSource": s3_source("s3://artifacts/weights/", "S3Object")},
    ],
)
def test_every_field_of_a_container_is_part_of_the_digest(change: dict[str, Any]) -> None:
    assert digest([CONTAINERS[0], {**CONTAINERS[1], **change}], {"Mode": "Serial"}, False, CONTENT) != DIGEST
