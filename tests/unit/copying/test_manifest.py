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


def parsed(text: str, batches: list[dict[str, int]]) -> list[list[PinnedObject]]:
    content = text.encode()
    pieces = [content[batch["start"] : batch["end"]].decode() for batch in batches]
    return [[PinnedObject.from_line(line) for line in piece.splitlines()] for piece in pieces]


def test_the_batches_contain_each_object_once_and_in_order() -> None:
    objects = [planned(f"größe \u2028 {number}", 1) for number in range(2500)]

    text, batches = manifest(objects)

    assert [len(batch) for batch in parsed(text, batches)] == [1000, 1000, 500]
    assert [one for batch in parsed(text, batches) for one in batch] == objects


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
def test_a_batch_exceeds_the_limit_only_with_a_single_object(sizes: list[int], batches: list[list[int]]) -> None:
    text, pieces = manifest([planned(str(number), size * GIB) for number, size in enumerate(sizes)])

    assert [[one.size // GIB for one in batch] for batch in parsed(text, pieces)] == batches


def test_an_empty_manifest_has_no_batches() -> None:
    assert manifest([]) == ("", [])


def test_the_batches_of_100_000_objects_fit_into_a_state() -> None:
    class Short(PinnedObject):
        def to_line(self) -> str:
            return "{}\n"

    _, batches = manifest([Short("b", "k", "n", 1, "e", None, None, None)] * 100_000)

    assert len(batches) == 100
    assert len(json.dumps(batches)) < 32 * 1024
