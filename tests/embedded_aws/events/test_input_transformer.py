"""Input transformation of EventBridge targets."""

import json

import pytest

from embedded_aws.aws import EmbeddedAws
from tests.embedded_aws.support.customers import DEV, Queue, attribute, make_rule, put


@pytest.fixture
def queue(aws: EmbeddedAws, name: str) -> Queue:
    return Queue(name)


DETAIL = {"name": "pen", "count": 7, "tags": ["a", "b"], "quote": 'a "b"', "parts": [{"id": "x"}, {"id": "y"}]}


@pytest.mark.parametrize(
    ("paths", "template", "expected"),
    [
        ({"name": "$.detail.name"}, '{"it": <name>}', '{"it":"pen"}'),
        ({"name": "$.detail.name"}, '{"it": "the <name>"}', '{"it":"the pen"}'),
        ({"name": "$.detail.name"}, '{"it": "\\"<name>\\""}', '{"it":"\\"pen\\""}'),
        ({"count": "$.detail.count"}, '{"n": <count>, "text": "<count>"}', '{"n":7,"text":"7"}'),
        ({"tags": "$.detail.tags"}, '{"all": <tags>}', '{"all":["a","b"]}'),
        ({"id": "$.detail.parts[1].id"}, '{"id": [<id>]}', '{"id":["y"]}'),
        ({"ids": "$.detail.parts[*].id"}, '{"ids": <ids>}', '{"ids":["x","y"]}'),
        ({"type": "$.detail-type"}, '"a <type> event"', '"a Thing Happened event"'),
        # A path without a value results in an empty string.
        ({"none": "$.detail.none"}, '{"it": <none>, "text": "<none>!"}', '{"it":"","text":"!"}'),
        ({}, '{"rule": <aws.events.rule-name>}', '{"rule":"NAME"}'),
        ({}, '"<aws.events.rule-arn>"', f'"arn:aws:events:eu-west-1:{DEV}:rule/NAME"'),
    ],
    ids=str,
)
def test_a_template_is_filled_from_the_event(
    queue: Queue, name: str, paths: dict[str, str], template: str, expected: str
) -> None:
    transformer = {"InputPathsMap": paths, "InputTemplate": template}
    make_rule(name, {"source": [name]}, {"Arn": queue.arn, "InputTransformer": transformer})

    put(name, DETAIL)

    assert queue.bodies() == [expected.replace("NAME", name)]


def test_a_template_can_contain_the_whole_event(queue: Queue, name: str) -> None:
    template = '{"event": <aws.events.event>, "json": <aws.events.event.json>, "at": <aws.events.event.ingestion-time>}'
    make_rule(name, {"source": [name]}, {"Arn": queue.arn, "InputTransformer": {"InputTemplate": template}})

    put(name, DETAIL)

    body = queue.body()
    assert body["json"]["detail"] == DETAIL
    assert "detail" not in body["event"]
    assert body["event"]["detailType"] == body["json"]["detail-type"] == "Thing Happened"
    assert body["at"].endswith("Z")


def test_an_event_with_a_quote_in_a_value_breaks_the_template_and_goes_to_the_dead_letter_queue(
    queue: Queue, name: str
) -> None:
    dead = Queue(f"{name}-dead")
    transformer = {"InputPathsMap": {"quote": "$.detail.quote"}, "InputTemplate": '{"it": "<quote>"}'}
    target = {"Arn": queue.arn, "InputTransformer": transformer, "DeadLetterConfig": {"Arn": dead.arn}}
    make_rule(name, {"source": [name]}, target)

    put(name, DETAIL)

    (letter,) = dead.messages()
    assert attribute(letter, "ERROR_CODE") == "INVALID_JSON"
    assert json.loads(letter["Body"])["detail"] == DETAIL
    assert queue.bodies(seconds=0.5) == []


def test_a_target_can_receive_a_part_of_the_event_or_a_constant(queue: Queue, name: str) -> None:
    other = Queue(f"{name}-other")
    make_rule(
        name,
        {"source": [name]},
        {"Arn": queue.arn, "InputPath": "$.detail.parts[0]"},
        {"Arn": other.arn, "Input": '{"always": "this"}'},
    )

    put(name, DETAIL)

    assert queue.body() == {"id": "x"}
    assert other.body() == {"always": "this"}
