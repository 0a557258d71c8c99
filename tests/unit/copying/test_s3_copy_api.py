import pytest

from promotion.copying.copier import PART_SIZE
from promotion.copying.s3_client import S3Requests
from promotion.copying.s3_copy_api import CopyRequests
from tests.support.copies import planned
from tests.support.s3_service import OWN, S3, client


@pytest.mark.parametrize("size", [1, 320 * 1024**3, 320 * 1024**3 + 1, 5 * 1024**4])
def test_parts_have_whole_mebibytes_and_at_most_the_maximum_number(size: int) -> None:
    upload = CopyRequests(S3Requests(client(), "stage"), OWN, PART_SIZE).upload(planned(S3(), size=size), "id")
    ranges = [upload.range_of(number) for number in range(1, upload.count + 1)]

    assert len(ranges) <= 10_000
    assert upload.part_size % 1024**2 == 0
    assert [ranges[0][0], *(end for _, end in ranges)] == [*(first for first, _ in ranges), size]
