"""The content of a candidate: its image digests and pinned objects."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from promotion.aws.s3_uri import bucket_and_key
from promotion.copying import digest, references, splicer
from promotion.copying.incoming import Reader
from promotion.copying.manifest import PinnedObject
from promotion.copying.pinning import assert_within_limits, pin
from promotion.copying.references import Path, Reference
from promotion.errors import PromotionRefusedError
from promotion.source import images, inference_code
from promotion.source.candidate import Candidate
from promotion.source.images import Image
from promotion.stage import Stage


@dataclasses.dataclass(frozen=True)
class Content:
    """A candidate with image digests instead of tags, and the pinned objects of each reference in its containers."""

    candidate: Candidate
    references: list[Reference]
    objects: dict[Path, list[PinnedObject]]

    def identity(self, containers: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the identity of a model with `containers`, which refer to the same objects."""
        candidate = self.candidate
        return digest.identity(
            containers, candidate.inference_execution_config, candidate.enable_network_isolation, self.objects
        )

    def placed(self, prefix: str, stage: Stage) -> tuple[list[dict[str, Any]], list[PinnedObject]]:
        """Return the containers with the URIs of the copies under `prefix`, and the objects with their targets.

        Raises PromotionRefusedError if the source and the copy overlap, or a key would be too long.
        """
        references.assert_apart(self.references, stage.bucket, prefix)
        uris, objects = {}, []
        for reference in self.references:
            target, placed = references.targets(reference, self.objects[reference.path], prefix)
            uris[reference.path] = stage.uri(target)
            objects += placed
        return references.with_values(self.candidate.containers, uris), objects


def pinned(
    s3: Any,
    candidate: Candidate,
    settings: dict[str, Any],
    stage: Stage,
    image_digest: Callable[[Image], str],
    maximum_bytes: int,
    reader: Reader | None = None,
) -> Content:
    """Return the current content of a candidate; `image_digest` returns the digest of an image.

    The environment variables that `settings` replace or keep are not artifacts. `reader` can copy objects whose KMS key
    this stage cannot use. Raises PromotionRefusedError if an image or object cannot be used, or has changed since the
    registration, or if the objects have more than `maximum_bytes`.
    """
    containers = images.pinned(candidate.containers, stage.region, image_digest)
    replaced = settings.get("Model", {}).get("PrimaryContainer", {}).get("Environment", {})
    found = references.references(containers, {*replaced, *settings.get("KeptVariables", [])})
    objects = {reference.path: pin(s3, reference, stage.owner_of(reference.location[0]), reader) for reference in found}
    if candidate.code:
        _add_code(s3, candidate.code, found, objects, stage, reader)
    assert_within_limits([each for several in objects.values() for each in several], maximum_bytes)
    content = Content(dataclasses.replace(candidate, containers=containers), found, objects)
    _assert_etags(content)
    return content


def _add_code(
    s3: Any,
    code: dict[str, Any],
    found: list[Reference],
    objects: dict[Path, list[PinnedObject]],
    stage: Stage,
    reader: Reader | None,
) -> None:
    """Add the code to the objects of the model's data, which a training job has in its only container."""
    uri, [model] = code["uri"], [each for each in found if str(each.path[1]).startswith("ModelData")]
    place = Reference((0, "InferenceCode"), uri, is_prefix=uri.endswith("/"))
    bucket_and_key(uri, place.place)
    pinned_code, is_archive = pin(s3, place, stage.owner_of(place.location[0]), reader), not model.is_prefix
    read = [*pinned_code, *(objects[model.path] if is_archive else [])]
    if reader and any(pinned.incoming for pinned in read):
        # What is added to each other is read by one role, and copied in one way.
        s3, pinned_code = reader.s3, [reader.taken(pinned) for pinned in pinned_code]
        if is_archive:
            objects[model.path] = [reader.taken(pinned) for pinned in objects[model.path]]
    objects[model.path], names = splicer.add_code(s3, objects[model.path], pinned_code, is_archive=is_archive)
    inference_code.assert_contained(code["program"], names, uri)


def _assert_etags(content: Content) -> None:
    candidate = content.candidate
    for reference in content.references:
        expected, actual = candidate.etags.get(reference.slot), content.objects[reference.path][0].etag.strip('"')
        if expected and actual != expected:
            raise PromotionRefusedError(
                f"The object {reference.uri} has changed since {candidate.source['name']} was registered: its ETag is "
                f"{actual}, not {expected}. Register the model package again."
            )
