"""Evaluation of CloudWatch alarms, their actions, and updates by PutMetricAlarm."""

import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws.aws import EmbeddedAws
from embedded_aws.services.cloudwatch import alarms, metrics
from tests.embedded_aws.support.customers import DEV, Queue, client
from tests.support.waiting import wait_for

MEMBERS: dict[str, Any] = {
    "Namespace": "AWS/SageMaker",
    "MetricName": "Invocation5XXErrors",
    "ComparisonOperator": "GreaterThanThreshold",
    "EvaluationPeriods": 1,
    "Period": 60,
    "Statistic": "Sum",
}


TRIMMED = {
    "Id": "a",
    "MetricStat": {"Metric": {"Namespace": "Tests", "MetricName": "m"}, "Period": 60, "Stat": "tm95"},
}


def put(name: str, **members: Any) -> None:
    """Put an alarm with the threshold 0 on the metric `name` of the namespace Tests."""
    own = {"Namespace": "Tests", "MetricName": name, "Period": 300}
    request = MEMBERS | own | {"Threshold": 0, "TreatMissingData": "notBreaching"}
    client("cloudwatch").put_metric_alarm(AlarmName=name, **request | members)


def state(name: str) -> str:
    (alarm,) = client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]
    return str(alarm["StateValue"])


def wait_for_state(name: str, wanted: str) -> None:
    wait_for(lambda: state(name) == wanted, f"{name} to be {wanted}")


def count(name: str, value: float) -> None:
    client("cloudwatch").put_metric_data(Namespace="Tests", MetricData=[{"MetricName": name, "Value": value}])


def make_topic(name: str, queue: Queue, *, allows_alarms: bool) -> str:
    sns = client("sns")
    topic = str(sns.create_topic(Name=name)["TopicArn"])
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue.arn)
    if allows_alarms:
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "cloudwatch.amazonaws.com"},
            "Action": "sns:Publish",
            "Resource": topic,
            "Condition": {"ArnLike": {"aws:SourceArn": f"arn:aws:cloudwatch:eu-west-1:{DEV}:alarm:{name}"}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=policy)
    return topic


def test_an_updated_alarm_has_the_new_threshold_and_its_previous_state(aws: EmbeddedAws, name: str) -> None:
    cloudwatch = client("cloudwatch")
    ignored = MEMBERS | {"TreatMissingData": "ignore"}
    cloudwatch.put_metric_alarm(AlarmName=name, Threshold=1, **ignored)
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a test")

    cloudwatch.put_metric_alarm(AlarmName=name, Threshold=2, **ignored)

    (alarm,) = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    assert (alarm["Threshold"], alarm["StateValue"], alarm["StateReason"]) == (2, "ALARM", "a test")


def test_an_alarm_is_in_alarm_state_while_its_metric_exceeds_the_threshold(aws: EmbeddedAws, name: str) -> None:
    put(name)
    wait_for_state(name, "OK")

    count(name, 1)

    wait_for_state(name, "ALARM")
    wait_for_state(name, "OK")


def test_a_state_change_is_published_to_a_topic_that_allows_cloudwatch(aws: EmbeddedAws, name: str) -> None:
    queue = Queue(name, principal="sns.amazonaws.com")
    topic = make_topic(name, queue, allows_alarms=True)
    put(name, AlarmActions=[topic], OKActions=[topic])

    wait_for_state(name, "OK")
    count(name, 1)
    wait_for_state(name, "ALARM")
    wait_for_state(name, "OK")

    messages = [json.loads(body) for body in queue.bodies(count=3)]
    assert sorted(message["Subject"] for message in messages) == [f'ALARM: "{name}"', f'OK: "{name}"', f'OK: "{name}"']
    alarm = next(json.loads(message["Message"]) for message in messages if message["Subject"].startswith("ALARM"))
    assert (alarm["OldStateValue"], alarm["NewStateValue"], alarm["AWSAccountId"]) == ("OK", "ALARM", DEV)


def test_a_topic_that_does_not_allow_cloudwatch_receives_nothing(aws: EmbeddedAws, name: str) -> None:
    queue = Queue(name, principal="sns.amazonaws.com")
    put(name, AlarmActions=[make_topic(name, queue, allows_alarms=False)])

    count(name, 1)
    wait_for_state(name, "ALARM")

    assert queue.bodies(seconds=1) == []


def test_fill_replaces_missing_data_in_a_sum(aws: EmbeddedAws, name: str) -> None:
    def stat(metric: str) -> dict[str, Any]:
        metric_stat = {"Metric": {"Namespace": "Tests", "MetricName": metric}, "Period": 300, "Stat": "Sum"}
        return {"Id": metric[-1], "MetricStat": metric_stat, "ReturnData": False}

    total = {"Id": "total", "Expression": "SUM([FILL(a, 0), b, FILL(c, -1)])"}
    client("cloudwatch").put_metric_alarm(
        AlarmName=name,
        Metrics=[total, *(stat(f"{name}{each}") for each in "abc")],
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        EvaluationPeriods=1,
        Threshold=2,
    )
    wait_for_state(name, "OK")
    count(f"{name}b", 2)
    time.sleep(1)
    assert state(name) == "OK"

    for each in "ab":
        count(f"{name}{each}", 2)

    wait_for_state(name, "ALARM")


def test_a_state_that_was_set_lasts_until_the_next_evaluation(aws: EmbeddedAws, name: str) -> None:
    put(name)
    wait_for_state(name, "OK")

    client("cloudwatch").set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a test")

    wait_for_state(name, "OK")


@pytest.mark.parametrize("expression", ["MAX(METRICS())", "MAX([a, b])"])
def test_the_maximum_of_several_metrics_is_evaluated(aws: EmbeddedAws, name: str, expression: str) -> None:
    def stat(metric: str) -> dict[str, Any]:
        metric_stat = {"Metric": {"Namespace": "Tests", "MetricName": metric}, "Period": 300, "Stat": "Sum"}
        return {"Id": metric[-1], "MetricStat": metric_stat, "ReturnData": False}

    client("cloudwatch").put_metric_alarm(
        AlarmName=name,
        Metrics=[*(stat(f"{name}{each}") for each in "ab"), {"Id": "worst", "Expression": expression}],
        ComparisonOperator="GreaterThanThreshold",
        EvaluationPeriods=1,
        Threshold=2,
        TreatMissingData="notBreaching",
    )
    for each in "ab":
        count(f"{name}{each}", 2)
    time.sleep(1)
    assert state(name) == "OK"

    count(f"{name}b", 1)

    wait_for_state(name, "ALARM")


@pytest.mark.parametrize(("percentile", "expected"), [("p95", 19), ("p50", 10), ("p99.9", 20), ("p100", 20), ("p0", 1)])
def test_a_percentile_is_a_value_that_so_many_values_do_not_exceed(
    aws: EmbeddedAws, name: str, percentile: str, expected: float
) -> None:
    metric = metrics.Metric(DEV, "eu-west-1", "Tests", name, frozenset())
    for value in range(20, 0, -1):
        count(name, value)

    now = time.time()

    assert metrics.statistic(metric, percentile, now - 60, now + 60) == expected
    assert metrics.statistic(metric, percentile, now - 120, now - 60) is None


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        (
            dict.fromkeys(("Namespace", "MetricName", "Period", "Statistic")) | {"Metrics": [TRIMMED]},
            "the statistic tm95",
        ),
        (
            {"Namespace": "AWS/SageMaker", "MetricName": "InvocationsPerInstance"},
            "AWS/SageMaker InvocationsPerInstance, which the embedded AWS does not report",
        ),
        (
            {"Namespace": "AWS/Lambda", "MetricName": "Throttles"},
            "AWS/Lambda Throttles, which the embedded AWS does not report",
        ),
        ({"ComparisonOperator": "GreaterThanUpperThreshold"}, "the comparison operator GreaterThanUpperThreshold"),
        ({"EvaluationPeriods": 3, "DatapointsToAlarm": 2}, "a value of DatapointsToAlarm other than EvaluationPeriods"),
        ({"OKActions": ["arn:aws:lambda:eu-west-1:1:function:f"]}, "has the action arn:aws:lambda"),
    ],
)
def test_an_alarm_that_cannot_be_evaluated_is_refused(
    aws: EmbeddedAws, name: str, members: dict[str, Any], problem: str
) -> None:
    given = {key: value for key, value in (MEMBERS | {"Namespace": "Tests"} | members).items() if value is not None}

    with pytest.raises(ClientError, match=problem):
        client("cloudwatch").put_metric_alarm(AlarmName=name, Threshold=1, **given)

    assert client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"] == []


@pytest.mark.parametrize(
    "expression", ["MIN(METRICS())", "a + a", "SUM([RATE(a)])", "SUM([unknown])", "FILL(a, REPEAT)"]
)
def test_an_expression_that_cannot_be_evaluated_is_refused(aws: EmbeddedAws, name: str, expression: str) -> None:
    metric_stat = {"Metric": {"Namespace": "Tests", "MetricName": name}, "Period": 60, "Stat": "Sum"}
    metrics = [{"Id": "a", "MetricStat": metric_stat, "ReturnData": False}, {"Id": "total", "Expression": expression}]

    with pytest.raises(ClientError, match="uses the expression"):
        client("cloudwatch").put_metric_alarm(
            AlarmName=name,
            Metrics=metrics,
            ComparisonOperator="GreaterThanThreshold",
            EvaluationPeriods=1,
            Threshold=1,
        )


class Alarm:
    """An alarm in the state OLD that compares three data points with the threshold 0."""

    comparison_operator, threshold, evaluation_periods, state_value = "GreaterThanThreshold", 0, 3, "OLD"

    def __init__(self, treat_missing_data: str) -> None:
        self.treat_missing_data = treat_missing_data


@pytest.mark.parametrize(
    ("points", "missing", "ignore", "breaching", "not_breaching"),
    [
        # The table of "How alarm state is evaluated when data is missing", from the oldest to the newest point.
        ("0-X-X", "OK", "OK", "OK", "OK"),
        ("----0", "OK", "OK", "OK", "OK"),
        ("-----", "INSUFFICIENT_DATA", "OLD", "ALARM", "OK"),
        ("0XX-X", "ALARM", "ALARM", "ALARM", "ALARM"),
        ("--X--", "ALARM", "OLD", "ALARM", "OK"),
    ],
)
def test_missing_data_are_treated_as_the_alarm_specifies(
    points: str, missing: str, ignore: str, breaching: str, not_breaching: str
) -> None:
    newest_first = [{"0": 0.0, "X": 1.0, "-": None}[point] for point in reversed(points)]
    expected = {"missing": missing, "ignore": ignore, "breaching": breaching, "notBreaching": not_breaching}

    states = {treat: alarms.evaluate_points(Alarm(treat), newest_first)[0] for treat in expected}

    assert states == expected
