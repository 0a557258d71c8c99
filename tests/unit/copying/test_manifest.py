import json

import pytest

from promotion.copying.manifest import PinnedObject, manifest
from tests.support.artifacts import pinned

GIB = 1024**3


def test_a_pinned_object_is_one_line_of_ascii_in_a_manifest() -> None:
    one = pinned("größe \u2028 模型.bin", attributes={"content-type": "x", "x-amz-meta-a": "b"}, target="models/x")

    line = one.to_line()

    assert PinnedObject.from_line(line) == one
    assert line.isascii()
    assert line.splitlines(keepends=True) == [line]
    assert json.loads(line)["name"] == one.name


def planned(name: str, size: int) -> PinnedObject:
    return PinnedObject("artifacts", f"weights/{name}", name, size, '"e"', None, "CRC64NVME", "c", target=f"m/{name}")


def read_back(text: str, batches: list[dict[str, int]]) -> list[list[PinnedObject]]:
    content = text.encode()
    pieces = [content[batch["start"] : batch["end"]].decode() for batch in batches]
    return [[PinnedObject.from_line(line) for line in piece.splitlines()] for piece in pieces]


def test_the_batches_of_a_manifest_hold_every_object_once_and_in_order() -> None:
    objects = [planned(f"größe \u2028 {number}", 1) for number in range(2500)]

    text, batches = manifest(objects)

    assert [len(batch) for batch in read_back(text, batches)] == [1000, 1000, 500]
    assert [one for batch in read_back(text, batches) for one in batch] == objects


@pytest.mark.parametrize(
    ("sizes", "batches"),
    [
        ([1], [[1]]),
        ([100, 100], [[100, 100]]),
        ([100, 100, 1], [[100, 100], [1]]),
        ([150, 100, 100], [[150], [100, 100]]),
        ([1, 5000, 1], [[1], [5000], [1]]),
        ([5000], [[5000]]),
    ],
)
def test_a_batch_is_no_larger_than_a_function_can_copy_but_for_a_single_object(
    sizes: list[int], batches: list[list[int]]
) -> None:
    text, pieces = manifest([planned(str(number), size * GIB) for number, size in enumerate(sizes)])

    assert [[one.size // GIB for one in batch] for batch in read_back(text, pieces)] == batches


def test_nothing_to_copy_makes_no_batch() -> None:
    assert manifest([]) == ("", [])


def test_the_batches_of_a_hundred_thousand_objects_are_no_more_than_a_state_can_hold() -> None:
    class Short(PinnedObject):
        def to_line(self) -> str:
            return "{}\n"

    _, batches = manifest([Short("b", "k", "n", 1, "e", None, None, None)] * 100_000)

    assert len(batches) == 100
    assert len(json.dumps(batches)) < 32 * 1024
