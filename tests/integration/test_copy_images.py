"""The step Copy images: images are copied from registry to registry with the permissions of its function."""

from __future__ import annotations

import os
from typing import Any

import pytest
from moto.ecr.models import ecr_backends

from embedded_aws.kernel import accounts
from promotion.copying.image_copier import ImageCopier
from promotion.errors import PromotionRefusedError, UnfinishedError
from promotion.source.images import Copy
from tests.support import registries
from tests.support.waiting import PATIENCE_SECONDS
from tests.support.world import DEV, ECR, QA, Lab, Stage

MIB = 1024**2


@pytest.fixture
def repository(lab: Lab, application: str) -> str:
    """Create a repository of the lab that every stage can pull from, and return its name."""
    registries.ensure_repository(lab.client("ecr"), f"team/{application}")
    return f"team/{application}"


def copy_of(repository: str, digest: str) -> Copy:
    target = f"{QA}.dkr.ecr.{accounts.REGION}.amazonaws.com/model-promotion-qa@{digest}"
    return Copy(f"{ECR}/{repository}@{digest}", target, f"{repository.replace('/', '.')}-{digest[7:23]}")


def copier(stage: Stage) -> ImageCopier:
    """Return the copier as its function has it, with the permissions of the function."""
    return ImageCopier(stage.acting_as("CopyImagesFunction", "ecr"))


def layers(account: str, repository: str) -> dict[str, bytes]:
    """Return the content of the layers of a repository, by their digest."""
    return dict(vars(ecr_backends[account][accounts.REGION].repositories[repository]).get("layer_contents", {}))


def test_a_two_architecture_image_is_copied_between_registries_with_equal_digests(
    lab: Lab, qa: Stage, repository: str
) -> None:
    shared, arm, intel = os.urandom(11 * MIB), os.urandom(2 * MIB), os.urandom(3000)
    digest = registries.push_list(
        lab.client("ecr"), repository, {"arm64": [shared, arm], "amd64": [shared, intel]}, tag="1"
    )

    summary = copier(qa).copy(copy_of(repository, digest), seconds=PATIENCE_SECONDS)

    source = registries.manifests(lab.client("ecr"), repository, digest)
    assert registries.manifests(qa.client("ecr"), "model-promotion-qa", digest) == source
    assert len(source) == summary.manifests == 3
    copied = layers(QA, "model-promotion-qa")
    for layer in (shared, arm, intel):
        assert copied[registries.sha256(layer)] == layer
    # Three layers and the config of each architecture; the layer that both share was copied once.
    assert (summary.layers_copied, summary.layers_already_present) == (5, 0)
    again = copier(qa).copy(copy_of(repository, digest), seconds=PATIENCE_SECONDS)
    assert (again.layers_copied, again.layers_already_present, again.bytes_copied) == (0, 5, 0)
    named = qa.client("ecr").describe_images(repositoryName="model-promotion-qa", imageIds=[{"imageDigest": digest}])
    assert named["imageDetails"][0]["imageTags"] == [copy_of(repository, digest).tag]


def test_a_stopped_copy_is_resumed_with_the_remaining_layers(lab: Lab, qa: Stage, repository: str) -> None:
    parts = [os.urandom(1024 + size) for size in range(4)]
    digest = registries.push_image(lab.client("ecr"), repository, parts, tag="1")
    slow = qa.acting_as("CopyImagesFunction", "ecr")
    uploads = []

    def stop_after_two(**_: Any) -> None:
        uploads.append(1)
        if len(uploads) > 2:
            raise TimeoutError("the function's time is over")

    slow.meta.events.register("before-call.ecr.CompleteLayerUpload", stop_after_two)

    with pytest.raises(TimeoutError):
        ImageCopier(slow, in_flight=1).copy(copy_of(repository, digest), seconds=PATIENCE_SECONDS)

    found = qa.client("ecr").batch_get_image(repositoryName="model-promotion-qa", imageIds=[{"imageDigest": digest}])
    assert not found["images"]
    rest = copier(qa).copy(copy_of(repository, digest), seconds=PATIENCE_SECONDS)
    assert (rest.layers_already_present, rest.layers_copied) == (2, 3)
    assert registries.manifests(qa.client("ecr"), "model-promotion-qa", digest)


def test_a_copy_without_time_left_is_unfinished(lab: Lab, qa: Stage, repository: str) -> None:
    digest = registries.push_image(lab.client("ecr"), repository, [os.urandom(100)], tag="1")

    with pytest.raises(UnfinishedError, match="The next try goes on with what is left"):
        copier(qa).copy(copy_of(repository, digest), seconds=-1)


def test_a_damaged_layer_is_never_added_to_an_image(lab: Lab, qa: Stage, repository: str) -> None:
    layer = os.urandom(100)
    digest = registries.push_image(lab.client("ecr"), repository, [layer], tag="1")
    contents = vars(ecr_backends[DEV][accounts.REGION].repositories[repository])["layer_contents"]
    contents[registries.sha256(layer)] = os.urandom(100)

    with pytest.raises(PromotionRefusedError, match=f"The layer {registries.sha256(layer)} of .* is damaged"):
        copier(qa).copy(copy_of(repository, digest), seconds=PATIENCE_SECONDS)

    assert registries.sha256(layer) not in layers(QA, "model-promotion-qa")
