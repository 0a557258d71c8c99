"""An alarm that is put again keeps its state."""

from local import identity
from local.aws import EmbeddedAws

MEMBERS = {
    "Namespace": "AWS/SageMaker",
    "MetricName": "Invocation5XXErrors",
    "ComparisonOperator": "GreaterThanThreshold",
    "EvaluationPeriods": 1,
    "Period": 60,
    "Statistic": "Sum",
}


def test_an_alarm_that_is_put_again_has_its_new_threshold_and_its_old_state(aws: EmbeddedAws, name: str) -> None:
    cloudwatch = identity.client_as_operator("cloudwatch", identity.ACCOUNTS["qa"])
    cloudwatch.put_metric_alarm(AlarmName=name, Threshold=1, **MEMBERS)
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a test")

    cloudwatch.put_metric_alarm(AlarmName=name, Threshold=2, **MEMBERS)

    (alarm,) = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    assert (alarm["Threshold"], alarm["StateValue"], alarm["StateReason"]) == (2, "ALARM", "a test")
