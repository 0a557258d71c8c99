"""The metrics that AWS services report to CloudWatch."""

import datetime
import json
import time
from typing import Any

from embedded_aws.aws import EmbeddedAws
from embedded_aws.services.cloudwatch import metrics
from tests.embedded_aws.support.customers import DEV, QA, Queue, client
from tests.embedded_aws.support.lambda_functions import MakeFunction
from tests.embedded_aws.support.state_machines import Run


def total(namespace: str, metric: str, account: str = DEV, **dimensions: str) -> float:
    """Return the sum of a metric over the last minutes."""
    now = datetime.datetime.now(datetime.UTC)
    answer: dict[str, Any] = client("cloudwatch", account).get_metric_statistics(
        Namespace=namespace,
        MetricName=metric,
        Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        StartTime=now - datetime.timedelta(minutes=5),
        EndTime=now + datetime.timedelta(minutes=5),
        Period=600,
        Statistics=["Sum"],
    )
    return float(sum(point["Sum"] for point in answer["Datapoints"]))


def test_a_function_reports_its_invocations_and_errors(function: MakeFunction) -> None:
    divide = function("def handler(event, context): return 1 / event['by']")

    for by in (1, 0):
        divide.invoke({"by": by})

    account = divide.arn.split(":")[4]
    assert total("AWS/Lambda", "Invocations", account, FunctionName=divide.name) == 2
    assert total("AWS/Lambda", "Errors", account, FunctionName=divide.name) == 1


def test_a_state_machine_reports_how_its_executions_ended(run: Run) -> None:
    too_slow = {"Wait": {"Type": "Wait", "Seconds": 5, "End": True}}
    ended = {
        "ExecutionsSucceeded": run({"Done": {"Type": "Succeed"}}),
        "ExecutionsFailed": run({"Broken": {"Type": "Fail"}}),
        "ExecutionsTimedOut": run(too_slow, TimeoutSeconds=1),
    }

    for metric, execution in ended.items():
        machine, account = execution["stateMachineArn"], execution["executionArn"].split(":")[4]
        counted = {each: total("AWS/States", each, account, StateMachineArn=machine) for each in ended}
        assert counted == {each: float(each == metric) for each in ended}


def test_a_rule_of_a_custom_bus_reports_its_matches_with_the_name_of_the_bus(aws: EmbeddedAws, name: str) -> None:
    events, queue = client("events"), Queue(name)
    events.create_event_bus(Name=name)
    for bus in ("default", name):
        rule = f"{name}-{bus}"
        events.put_rule(Name=rule, EventBusName=bus, EventPattern=json.dumps({"source": [name]}))
        events.put_targets(Rule=rule, EventBusName=bus, Targets=[{"Id": "queue", "Arn": queue.arn}])
        events.put_events(
            Entries=[{"Source": name, "DetailType": "x", "Detail": "{}", "EventBusName": bus} for _ in range(2)]
        )

    assert total("AWS/Events", "TriggeredRules", RuleName=f"{name}-default") == 2
    assert total("AWS/Events", "TriggeredRules", RuleName=f"{name}-{name}", EventBusName=name) == 2


def test_each_combination_of_dimensions_is_a_metric_of_its_own(aws: EmbeddedAws, name: str) -> None:
    for dimensions in ({}, {"One": "1"}, {"One": "1", "Two": "2"}):
        values = [{"Name": key, "Value": value} for key, value in dimensions.items()]
        datum = {"MetricName": name, "Value": 1, "Dimensions": values}
        client("cloudwatch").put_metric_data(Namespace="Tests", MetricData=[datum])

    assert total("Tests", name) == total("Tests", name, One="1") == total("Tests", name, One="1", Two="2") == 1
    assert total("Tests", name, Two="2") == 0


def test_a_queue_reports_its_messages_while_it_is_active(aws: EmbeddedAws, name: str) -> None:
    sqs = client("sqs", QA)
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    metric = metrics.Metric(
        QA, "eu-west-1", "AWS/SQS", "ApproximateNumberOfMessagesVisible", frozenset({("QueueName", name)})
    )

    def highest(since: float) -> float | None:
        return metrics.statistic(metric, "Maximum", since, time.time())

    started = time.time()
    metrics.report_queues()
    assert highest(started) is None
    sqs.send_message(QueueUrl=url, MessageBody="x")
    metrics.report_queues()
    assert highest(started) == 1
    sqs.purge_queue(QueueUrl=url)
    purged = time.time()
    metrics.report_queues()
    assert highest(purged) == 0
