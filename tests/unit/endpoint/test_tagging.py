"""The tags of an endpoint are those of the live promotion, and what others have set stays."""

from typing import Any

import pytest

from promotion.endpoint import tagging

SETTINGS = {"Tags": [{"Key": "cost", "Value": "new"}]}


class SageMaker:
    """The tags of one resource."""

    def __init__(self, tags: dict[str, str]) -> None:
        self.tags, self.requests = tags, 0

    def get_paginator(self, _: str) -> Any:
        return self

    def paginate(self, **_: Any) -> list[dict[str, Any]]:
        self.requests += 1
        return [{"Tags": [{"Key": key, "Value": value} for key, value in self.tags.items()]}]

    def add_tags(self, ResourceArn: str, Tags: list[dict[str, str]]) -> None:  # noqa: N803 - the names in boto3
        self.tags = self.tags | {tag["Key"]: tag["Value"] for tag in Tags}

    def delete_tags(self, ResourceArn: str, TagKeys: list[str]) -> None:  # noqa: N803
        self.tags = {key: value for key, value in self.tags.items() if key not in TagKeys}


@pytest.mark.parametrize(
    ("current", "before", "after", "expected"),
    [
        ({}, {}, {}, {}),
        ({}, {}, {"team": "a"}, {"team": [None, "a"]}),
        # Of the live promotion.
        ({"team": "a"}, {"team": "a"}, {"team": "a"}, {}),
        ({"team": "a"}, {"team": "a"}, {"team": "b"}, {"team": ["a", "b"]}),
        ({"team": "a"}, {"team": "a"}, {}, {"team": ["a", None]}),
        ({}, {"team": "a"}, {}, {}),
        # Of others.
        ({"team": "theirs"}, {}, {"team": "a"}, {}),
        ({"team": "theirs"}, {"team": "a"}, {"team": "b"}, {}),
        ({"team": "theirs"}, {"team": "a"}, {}, {}),
        ({"other": "theirs"}, {}, {"team": "a"}, {"team": [None, "a"]}),
        # The settings replace what others have set.
        ({"cost": "theirs"}, {}, {"cost": "new"}, {"cost": ["theirs", "new"]}),
    ],
)
def test_changes_keep_the_tags_of_others(
    current: dict[str, str], before: dict[str, str], after: dict[str, str], expected: tagging.Changes
) -> None:
    assert tagging.changes(current, before, after, SETTINGS) == expected


def test_changes_are_made_and_undone_unless_someone_else_changed_the_tag_meanwhile() -> None:
    sagemaker = SageMaker({"team": "a", "old": "x", "taken": "theirs"})
    changed: tagging.Changes = {"team": ["a", "b"], "old": ["x", None], "new": [None, "y"], "taken": [None, "z"]}

    tagging.apply(sagemaker, "arn", changed)
    applied = dict(sagemaker.tags)
    tagging.apply(sagemaker, "arn", changed)
    again = dict(sagemaker.tags)
    sagemaker.tags["new"] = "theirs"
    tagging.restore(sagemaker, "arn", changed)

    assert applied == again == {"team": "b", "new": "y", "taken": "theirs"}
    assert sagemaker.tags == {"team": "a", "old": "x", "new": "theirs", "taken": "theirs"}


def test_nothing_is_requested_without_a_change() -> None:
    sagemaker = SageMaker({"team": "a"})

    tagging.apply(sagemaker, "arn", {})

    assert sagemaker.requests == 0


def test_the_tags_of_an_endpoint_config_are_replaced_except_those_of_the_project() -> None:
    sagemaker = SageMaker({"team": "a", "old": "x", "model-promotion:digest": "d", "aws:x": "y"})

    tagging.replace(sagemaker, "arn", [{"Key": "team", "Value": "b"}, {"Key": "model-promotion:digest", "Value": "e"}])

    assert sagemaker.tags == {"team": "b", "model-promotion:digest": "d", "aws:x": "y"}
