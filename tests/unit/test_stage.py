import pytest

from promotion.stage import Stage, bucket_owners


@pytest.mark.parametrize(
    ("parameter", "owners"),
    [
        ("artifacts", {}),
        ("artifacts,shared=333333333333", {"shared": "333333333333"}),
        ("a.b=444444444444, shared=333333333333", {"a.b": "444444444444", "shared": "333333333333"}),
    ],
)
def test_a_bucket_can_name_its_owner(parameter: str, owners: dict[str, str]) -> None:
    assert bucket_owners(parameter) == owners


def test_any_other_bucket_belongs_to_the_upstream_account() -> None:
    stage = Stage("qa", "222222222222", "eu-west-1", "stage", "111111111111", {"shared": "333333333333"})

    assert stage.owner_of("artifacts") == "111111111111"
    assert stage.owner_of("shared") == "333333333333"
