"""The numbers for large copies in docs/decisions.md match the constants in the code."""

import json
import math
from pathlib import Path

import pytest

from promotion.copying.copier import _WHOLE_COPIES_IN_FLIGHT, PART_SIZE, REQUESTS_IN_FLIGHT
from promotion.copying.manifest import PinnedObject, manifest
from promotion.copying.pinning import REQUESTS_IN_FLIGHT as HEADS_IN_FLIGHT
from promotion.copying.s3_client import S3Requests
from promotion.copying.s3_copy_api import MAXIMUM_PARTS, CopyRequests
from steps.copy_artifacts import _MARGIN_SECONDS
from tests.linter import Project
from tests.support.s3_service import GIB, MIB, client

DOC = (Path(__file__).parents[3] / "docs/decisions.md").read_text()
OBJECTS, TB = 20_000, 10**12
TIMES = "\N{MULTIPLICATION SIGN}"

PROJECT = Project.read()
MAP = PROJECT.definition["States"]["Copy artifacts"]
RETRIES = MAP["ItemProcessor"]["States"]["Copy batch"]["Retry"][0]["MaxAttempts"]
# The events of a batch: start and end of its iteration and its state, and its task scheduled, started and succeeded.
EVENTS, EVENTS_PER_ATTEMPT = 7, 3


class Short(PinnedObject):
    def to_line(self) -> str:
        return f"{'':499}\n"


def parts_of(size: int) -> tuple[int, int]:
    """Return the size of a part in bytes, and the number of parts."""
    requests = CopyRequests(S3Requests(client(), "stage"), "", PART_SIZE)
    upload = requests.upload(PinnedObject("b", "k", "n", size, "e", None, None, None), "id")
    return upload.part_size, upload.count


def test_the_numbers_for_20_000_small_objects_are_documented() -> None:
    text, batches = manifest([Short("b", "k", "n", 1, "e", None, None, None)] * OBJECTS)
    bytes_of_a_batch = len(json.dumps({"start": 10_000_000, "end": 10_000_000}) + ", ")
    most = 32 * 1024 // bytes_of_a_batch * OBJECTS // len(batches)

    assert f"{OBJECTS // 1000} listings, {OBJECTS:,} HEADs" in DOC
    assert f"{OBJECTS:,} {TIMES} 30 ms / {HEADS_IN_FLIGHT} in flight = {OBJECTS * 0.03 / HEADS_IN_FLIGHT:.1f} s" in DOC
    assert f"The function has {PROJECT.function('PlanCopyFunction')['Timeout']} s" in DOC
    assert f"{OBJECTS:,} lines of about 500 bytes = {len(text) // 10**6} MB" in DOC
    assert f"{len(batches)}, of {OBJECTS // len(batches):,} objects each" in DOC
    assert (
        f"{len(batches)} {TIMES} {bytes_of_a_batch} bytes for the batches; 32 KiB would be reached by {most:,}" in DOC
    )
    assert f"{MAP['MaxConcurrency']} batches at once; each 1,000 requests, {_WHOLE_COPIES_IN_FLIGHT} in flight" in DOC
    assert f"{len(batches)} {TIMES} {EVENTS} = {len(batches) * EVENTS} of 25,000" in DOC


def test_the_numbers_for_one_object_of_5_tb_are_documented() -> None:
    size, count = parts_of(5 * TB)
    seconds = size / 100e6
    rounds = math.ceil(count / REQUESTS_IN_FLIGHT)
    run = PROJECT.function("CopyArtifactsFunction")["Timeout"] - _MARGIN_SECONDS
    hours = (RETRIES + 1) * run / 3600

    assert f"{MAXIMUM_PARTS:,} at most, so {size // MIB} MiB each: {count:,}" in DOC
    assert (
        f"a part {seconds:.0f} s; with {REQUESTS_IN_FLIGHT} in flight {rounds} rounds = {rounds * seconds:.0f}" in DOC
    )
    assert math.ceil(rounds * seconds * 10 / run) == 2
    assert f"two runs of the function ({run} s each)" in DOC
    assert f"{RETRIES + 1} runs are {hours:.1f} hours, so {5 * TB / hours / 3600 / 10**6:.0f} MB/s in all" in DOC
    assert (
        f"{EVENTS}, and {EVENTS_PER_ATTEMPT} for each further try: {EVENTS + EVENTS_PER_ATTEMPT * RETRIES} at most"
        in DOC
    )


@pytest.mark.parametrize("size", [5 * TB, 50 * TB])
def test_the_largest_objects_fit_into_parts_of_the_allowed_size(size: int) -> None:
    part_size, count = parts_of(size)

    assert part_size <= 5 * GIB
    assert count <= MAXIMUM_PARTS
