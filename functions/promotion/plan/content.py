"""The content of a candidate: its images by digest and its objects pinned, and whether that is what was approved."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from promotion.aws.aws_errors import Meaning, meaning
from promotion.copying import digest, references
from promotion.copying.manifest import PinnedObject
from promotion.copying.pinning import assert_within_limits, pin
from promotion.copying.references import Path, Reference
from promotion.errors import PromotionRefusedError
from promotion.source import images
from promotion.source.candidate import Candidate
from promotion.source.images import Image
from promotion.stage import Stage


@dataclasses.dataclass(frozen=True)
class Content:
    """A candidate whose images are named by digest, and the objects found at each path of its containers."""

    candidate: Candidate
    references: list[Reference]
    objects: dict[Path, list[PinnedObject]]

    def identity(self, containers: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the identity of a model of `containers`, which have these objects at the same paths."""
        candidate = self.candidate
        return digest.identity(
            containers, candidate.inference_execution_config, candidate.enable_network_isolation, self.objects
        )

    def placed(self, prefix: str, stage: Stage) -> tuple[list[dict[str, Any]], list[PinnedObject]]:
        """Return the containers with the addresses of the copies under `prefix`, and the objects with their targets.

        Raises PromotionRefusedError if a copy would lie within what is copied, or a key would be too long.
        """
        references.assert_apart(self.references, stage.bucket, prefix)
        addresses, objects = {}, []
        for reference in self.references:
            target, placed = references.targets(reference, self.objects[reference.path], prefix)
            addresses[reference.path] = stage.uri(target)
            objects += placed
        return references.with_values(self.candidate.containers, addresses), objects


def pinned(s3: Any, candidate: Candidate, stage: Stage, image_digest: Callable[[Image], str]) -> Content:
    """Return the content of a candidate as it is now; `image_digest` looks up the digest of an image's tag.

    Raises PromotionRefusedError if an image or object cannot be used, or is not the one that was registered.
    """
    containers = images.pinned(candidate.containers, stage.region, image_digest)
    found = references.references(containers)
    objects = {reference.path: pin(s3, reference, stage.upstream_account) for reference in found}
    assert_within_limits([each for several in objects.values() for each in several])
    content = Content(dataclasses.replace(candidate, containers=containers), found, objects)
    _assert_etags(content)
    return content


def _assert_etags(content: Content) -> None:
    candidate = content.candidate
    for reference in content.references:
        expected, found = candidate.etags.get(reference.slot), content.objects[reference.path][0].etag.strip('"')
        if expected and found != expected:
            raise PromotionRefusedError(
                f"{reference.uri} is not what {candidate.source['name']} was registered with any more: its ETag is "
                f"{found}, not {expected}. Register it anew."
            )


def identity_key(digest: str) -> str:
    """Return the key under which a stage keeps the identity of a digest, for as long as the manifests."""
    return f"manifests/{digest}.json"


def assert_approved(s3: Any, stage: Stage, source: str, identity: dict[str, Any], approved: str | None) -> None:
    """Raise PromotionRefusedError, saying what changed, unless `identity` has the `approved` digest, if there is one.

    `source` is the name of the candidate's source.
    """
    found = digest.digest_of(identity)
    if approved and found != approved:
        raise PromotionRefusedError(
            f"{source} is not what was approved any more: its digest is {found}, approved was {approved}. What "
            f"changed: {_what_changed(s3, stage, approved, identity)}. Find out who changed it, and ask for a new "
            "approval by starting again."
        )


def _what_changed(s3: Any, stage: Stage, approved: str, identity: dict[str, Any]) -> str:
    """Return where the candidate differs from the approved one, whose identity was written for the request."""
    key = identity_key(approved)
    try:
        answer = s3.get_object(Bucket=stage.bucket, Key=key, ExpectedBucketOwner=stage.account)
    except ClientError as error:
        if meaning(error) not in (Meaning.NOT_FOUND, Meaning.DENIED):
            raise
        return "unknown, since what was approved is not on record any more"
    return ", ".join(digest.changed(json.loads(answer["Body"].read()), identity))
