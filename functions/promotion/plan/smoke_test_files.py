"""The files of a smoke test: the suite and the request bodies in S3, read upstream and written into the stage."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from botocore.exceptions import ClientError

from promotion.aws import s3_uri
from promotion.copying import references
from promotion.copying.incoming import Reader
from promotion.copying.manifest import PinnedObject
from promotion.copying.pinning import pin
from promotion.copying.references import Reference
from promotion.copying.s3_errors import explained
from promotion.endpoint import smoke_test
from promotion.endpoint.smoke_test import SKIP
from promotion.errors import InvalidRequestError
from promotion.naming import sha256_of
from promotion.plan import upstream_files
from promotion.plan.stage_files import Placed
from promotion.source.candidate import Candidate
from promotion.source.tags import SMOKE_TEST_TAG
from promotion.stage import Stage

_MAXIMUM_SUITE_BYTES = 16 * 1024**2

# The bodies of a suite in S3 are pinned one after the other.
_MAXIMUM_BODIES_IN_S3 = 1000


@dataclasses.dataclass(frozen=True)
class SuiteFiles:
    """A suite ("skip" for none), and the request bodies in S3 by the index of their case."""

    suite: dict[str, Any] | str
    bodies: dict[int, PinnedObject] = dataclasses.field(default_factory=dict)

    @property
    def body_sizes(self) -> list[int]:
        """The size of the body of each case in bytes."""
        cases = self.suite["cases"] if isinstance(self.suite, dict) else []
        return [
            self.bodies[index].size if index in self.bodies else len(smoke_test.body_of(case))
            for index, case in enumerate(cases)
        ]

    @property
    def identity(self) -> str:
        """The digest of the suite and of its request bodies, independent of their locations, or "skip"."""
        if isinstance(self.suite, str):
            return self.suite
        cases = list(self.suite["cases"])
        for index, body in self.bodies.items():
            cases[index] = {**cases[index], "body_uri": f"sha256:{sha256_of(body.content)}"}
        return f"sha256:{sha256_of({**self.suite, 'cases': cases})}"

    def placed(self, prefix: str, stage: Stage) -> Placed:
        """Return the suite ("skip" for none) and its bodies, placed under `prefix` in the stage's bucket."""
        if isinstance(self.suite, str):
            return Placed(self.suite)
        cases, objects = list(self.suite["cases"]), []
        for index, body in self.bodies.items():
            # The folder is named after its content, because the same model may have another suite the next time.
            folder = f"{prefix}/{sha256_of(body.content)[:16]}"
            target, placed = references.targets(_body_reference(index, cases[index]), [body], folder)
            cases[index] = {**cases[index], "body_uri": stage.uri(target)}
            objects += placed
        suite = {**self.suite, "cases": cases}
        key = f"{prefix}/smoke-test/{sha256_of(suite)[:16]}.json"
        return Placed(stage.uri(key), {key: json.dumps(suite).encode()}, objects)


def read(
    s3: Any, candidate: Candidate, suite: dict[str, Any] | str | None, stage: Stage, reader: Reader | None = None
) -> SuiteFiles:
    """Return `suite` (SmokeTest of the settings), or the suite of the candidate if that is None.

    `reader` is the role of the upstream account for objects whose KMS key this stage cannot use. Raises
    InvalidRequestError if there is no suite or it is too large, and PromotionRefusedError if a file cannot be read.
    """
    if isinstance(suite, str):
        return SuiteFiles(SKIP)
    if suite is None and candidate.smoke_test is None:
        raise InvalidRequestError(
            f"The application {candidate.application} has no smoke test. Add the tag {SMOKE_TEST_TAG} with the S3 URI "
            f'of a suite to {candidate.source["name"]}, or set SmokeTest in the settings of the application ("skip" '
            "for no smoke test)."
        )
    suite = suite or _read_suite(s3, candidate.smoke_test or "", stage, reader)
    count = sum("body_uri" in case for case in suite["cases"])
    if count > _MAXIMUM_BODIES_IN_S3:
        raise InvalidRequestError(
            f"The smoke test of {candidate.source['name']} has {count:,} cases with body_uri; the maximum is "
            f"{_MAXIMUM_BODIES_IN_S3:,}. Use fewer cases, or body."
        )
    return SuiteFiles(
        suite,
        {
            index: _pinned_body(s3, _body_reference(index, case), stage, reader)
            for index, case in enumerate(suite["cases"])
            if "body_uri" in case
        },
    )


def _body_reference(index: int, case: dict[str, Any]) -> Reference:
    return Reference(("smoke-test", index, "body"), case["body_uri"], is_prefix=False)


def _pinned_body(s3: Any, reference: Reference, stage: Stage, reader: Reader | None) -> PinnedObject:
    return pin(s3, reference, stage.owner_of(reference.location[0]), reader)[0]


def _read_suite(s3: Any, uri: str, stage: Stage, reader: Reader | None) -> dict[str, Any]:
    bucket, key = s3_uri.bucket_and_key(uri, f"The tag {SMOKE_TEST_TAG} of the source")
    owner = stage.owner_of(bucket)
    try:
        response = upstream_files.get_object(s3, reader, bucket, key, owner)
    except ClientError as error:
        arn = f"arn:aws:s3:::{bucket}/{key}"
        raise explained(error, "s3:GetObject", arn, f"The smoke test {uri}", owner) from error
    if response["ContentLength"] > _MAXIMUM_SUITE_BYTES:
        raise InvalidRequestError(
            f"The smoke test {uri} has {response['ContentLength']} bytes; the maximum is {_MAXIMUM_SUITE_BYTES}. Put "
            "large request bodies into S3 and refer to them with body_uri."
        )
    return smoke_test.read(response["Body"].read(), uri)
