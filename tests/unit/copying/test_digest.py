import dataclasses
import re
from typing import Any

import pytest

from promotion.copying.digest import changed, digest_of, identity
from promotion.copying.manifest import PinnedObject
from promotion.copying.references import Path, with_values
from tests.support.artifacts import pinned
from tests.support.containers import IMAGE, container, s3_source

# Two containers with artifacts as single objects and as a prefix.
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


def test_the_same_content_at_another_location_has_the_same_digest() -> None:
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
def test_another_checksum_size_or_file_has_another_digest(objects: list[PinnedObject]) -> None:
    assert digest(CONTAINERS, {"Mode": "Serial"}, False, CONTENT | {(0, "ModelDataUrl"): objects}) != DIGEST


def test_two_swapped_artifacts_have_another_digest() -> None:
    first: Path = (0, "ModelDataUrl")
    second: Path = (0, "Environment", "SAGEMAKER_SUBMIT_DIRECTORY")

    swapped = CONTENT | {first: CONTENT[second], second: CONTENT[first]}

    assert digest(CONTAINERS, {"Mode": "Serial"}, False, swapped) != DIGEST


@pytest.mark.parametrize(("mode", "isolated"), [({"Mode": "Direct"}, False), (None, False), ({"Mode": "Serial"}, True)])
def test_another_mode_or_isolation_has_another_digest(mode: dict[str, Any] | None, isolated: bool) -> None:
    assert digest(CONTAINERS, mode, isolated, CONTENT) != DIGEST


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


def test_an_object_without_a_checksum_is_identified_by_its_etag() -> None:
    path: Path = (0, "ModelDataUrl")
    without: dict[str, Any] = {"checksum_algorithm": None, "checksum": None}

    digests = {
        digest(CONTAINERS, None, False, CONTENT | {path: [pinned(etag=etag, **without)]}) for etag in ('"e1"', '"e2"')
    }

    assert len(digests) == 2


BEFORE = identity(CONTAINERS, {"Mode": "Serial"}, False, CONTENT)


@pytest.mark.parametrize(
    ("after", "changes"),
    [
        (BEFORE, ""),
        (
            identity(CONTAINERS, {"Mode": "Direct"}, True, CONTENT),
            "EnableNetworkIsolation (approved: false, current: true), "
            "InferenceExecutionConfig.Mode (approved: Serial, current: Direct)",
        ),
        (
            identity([{**CONTAINERS[0], "Image": "x"}, CONTAINERS[1]], {"Mode": "Serial"}, False, CONTENT),
            f"Containers[0].Image (approved: {IMAGE}, current: x)",
        ),
        (
            identity(CONTAINERS, None, False, CONTENT),
            'InferenceExecutionConfig (approved: {"Mode": "Serial"}, current: none)',
        ),
    ],
)
def test_changes_are_listed_by_their_path_with_both_values(after: dict[str, Any], changes: str) -> None:
    assert changed(BEFORE, after, lambda _: True) == changes


def test_a_changed_artifact_is_listed_by_its_path() -> None:
    after = identity(CONTAINERS, {"Mode": "Serial"}, False, CONTENT | {(0, "ModelDataUrl"): [pinned(checksum="c9")]})

    assert re.fullmatch(
        r"Containers\[0\].ModelDataUrl \(approved: sha256:\w{64}, current: sha256:\w{64}\)",
        changed(BEFORE, after, lambda _: True),
    )


def test_the_list_of_changes_is_limited() -> None:
    text = changed({"a": ["x" * 1000] * 100}, {"a": ["y" * 1000] * 100}, lambda _: True)

    assert "a[0] (approved: xxx" in text
    assert text.endswith(", and 80 more")
    assert len(text) < 10_000


def test_a_value_is_shown_only_if_its_path_permits_it() -> None:
    before, after = {"Image": "a", "Environment": {"TOKEN": "b"}}, {"Image": "c", "Environment": {"TOKEN": "d"}}

    text = changed(before, after, lambda path: path.endswith("Image"))

    assert text == "Environment.TOKEN, Image (approved: a, current: c)"
