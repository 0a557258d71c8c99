"""SageMaker endpoints: roles, archives, updates, guardrails and autoscaling, on one endpoint that the probes share."""

from __future__ import annotations

import contextlib
import datetime
import gzip
from typing import Any

from botocore.exceptions import ClientError

from tests.deployed.account import Account, allow, error_of
from tests.deployed.hosting import SCRIPT, Hosting, image, tar
from tests.deployed.instrument import probe
from tests.deployed.prices import Cost
from tests.support import archives, registries

_CODE = {"inference.py": SCRIPT.encode()}
_DIMENSION = {"ServiceNamespace": "sagemaker", "ScalableDimension": "sagemaker:variant:DesiredInstanceCount"}


def _hours(hours: float) -> list[Cost]:
    """Return the cost of instances for so many hours."""
    return [Cost("endpoint instance ml.t2.medium", hours)]


def _hosting(account: Account) -> Hosting:
    if "hosting" not in account.shared:
        account.shared["hosting"] = Hosting(account)
    hosting: Hosting = account.shared["hosting"]
    return hosting


def _endpoint(account: Account) -> str:
    """Return the endpoint that the probes share. Its model's archive is composed, as a promotion composes it."""
    if "endpoint" not in account.shared:
        hosting = _hosting(account)
        source = archives.tar_gz({"label.txt": b"one member", "filler": archives.noise(6_000_000)})
        _, composed = archives.spliced(source, _CODE)
        account.shared["model"] = hosting.model("one", composed)
        account.shared["config"] = hosting.config("one", {"A": 1}, account.shared["model"])
        account.shared["endpoint"] = hosting.endpoint("shared", account.shared["config"])
    return str(account.shared["endpoint"])


def _with_status(hosting: Hosting, endpoint: str) -> str:
    found = hosting.describe(endpoint)
    if found["EndpointStatus"] == "InService":
        return f"InService, answers {hosting.answer(endpoint)}"
    return f"{found['EndpointStatus']}: {found.get('FailureReason')}"


@probe(
    "SageMaker assumes an execution role whose trust is limited by aws:SourceAccount and aws:SourceArn, and unpacks an "
    "archive that was composed inside S3 as one gzip member",
    documented="SageMaker developer guide, Cross-service confused deputy prevention; the archive is assumed: "
    "docs/decisions.md, Code is added to an archive inside S3",
    believed="InService, answers one member",
    costs=_hours(0.3),
)
def a_composed_archive_with_a_limited_role(account: Account) -> str:
    """Create an endpoint with such a role and such an archive, and invoke it."""
    return _with_status(_hosting(account), _endpoint(account))


@probe(
    "The metrics of the first config of an endpoint also exist with the dimension EndpointConfigName",
    documented="assumed: embedded_aws/services/sagemaker/hosting/invocation_metrics.py; the SageMaker developer guide, "
    "Auto-Rollback Configuration and Monitoring, says it of a deployment",
    believed="as many invocations with it as without",
    costs=_hours(0.2),
)
def the_metrics_of_a_first_config(account: Account) -> str:
    """Invoke the endpoint, and read both metrics of its invocations."""
    hosting, endpoint, before = _hosting(account), _endpoint(account), datetime.datetime.now(datetime.UTC)
    hosting.answer(endpoint)
    of_variant = [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": "A"}]
    of_config = [*of_variant, {"Name": "EndpointConfigName", "Value": account.shared["config"]}]

    def invocations(dimensions: list[dict[str, str]]) -> float:
        found = account.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName="Invocations",
            Dimensions=dimensions,
            StartTime=before - datetime.timedelta(minutes=1),
            EndTime=before + datetime.timedelta(minutes=30),
            Period=3600,
            Statistics=["Sum"],
        )["Datapoints"]
        return float(sum(each["Sum"] for each in found))

    account.wait(lambda: invocations(of_variant) or None, "the metrics", 900)
    account.pause(0 if account.is_embedded else 60)
    without, with_config = invocations(of_variant), invocations(of_config)
    if without == with_config:
        return "as many invocations with it as without"
    return f"{with_config:g} invocations with it, {without:g} without"


@probe(
    "SageMaker unpacks an archive of two gzip members, of which the second contains the model",
    documented="not documented; docs/decisions.md, Code is added to an archive inside S3, avoids it",
    believed="InService, answers two members",
    costs=_hours(0.3),
)
def an_archive_of_two_members(account: Account) -> str:
    """Create an endpoint whose archive has the code in its first gzip member."""
    hosting = _hosting(account)
    code = tar({f"code/{name}": content for name, content in _CODE.items()}).rstrip(b"\0")
    code += bytes(-len(code) % 512)
    two = gzip.compress(code, mtime=0) + archives.tar_gz({"label.txt": b"two members"})
    config = hosting.config("two", {"A": 1}, hosting.model("two", two))
    endpoint = hosting.endpoint("two", config)
    says = _with_status(hosting, endpoint)
    hosting.sagemaker.delete_endpoint(EndpointName=endpoint)
    return says


@probe(
    "UpdateEndpoint with the config that the endpoint has is accepted and replaces the instances",
    documented="assumed: functions/promotion/endpoint/update.py; UpdateEndpoint calls it a new config",
    believed="accepted, then InService",
    costs=_hours(0.2),
)
def an_update_with_the_same_config(account: Account) -> str:
    """Update the endpoint with its own config."""
    hosting, endpoint = _hosting(account), _endpoint(account)
    config = hosting.describe(endpoint)["EndpointConfigName"]
    says = error_of(lambda: hosting.sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=config))
    return f"{says}, then {hosting.at_rest(endpoint, config)['EndpointStatus']}"


@probe(
    "As soon as UpdateEndpoint has returned, DescribeEndpoint shows Updating, the previous config, and the new one in "
    "PendingDeploymentSummary",
    documented="assumed: functions/promotion/endpoint/state.py; users report the previous status for some seconds",
    believed="Updating, previous config, pending new",
    costs=_hours(0.2),
)
def the_seconds_after_an_update(account: Account) -> str:
    """Update the endpoint to two variants, and list all that DescribeEndpoint shows in the first seconds."""
    hosting, endpoint = _hosting(account), _endpoint(account)
    old, new = hosting.describe(endpoint)["EndpointConfigName"], _both(account)
    names = {old: "previous", new: "new"}
    hosting.sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=new)
    shown: list[str] = []
    for _ in range(1 if account.is_embedded else 15):
        found = hosting.describe(endpoint)
        pending = names.get(found.get("PendingDeploymentSummary", {}).get("EndpointConfigName"), "none")
        state = f"{found['EndpointStatus']}, {names[found['EndpointConfigName']]} config, pending {pending}"
        shown += [state] if state not in shown else []
        account.pause(0 if account.is_embedded else 2)
    hosting.at_rest(endpoint)
    return "; ".join(shown)


def _both(account: Account) -> str:
    """Return a config with the variants A and B."""
    if "both" not in account.shared:
        account.shared["both"] = _hosting(account).config("both", {"A": 1, "B": 1}, account.shared["model"])
    return str(account.shared["both"])


@probe(
    "RetainAllVariantProperties is accepted for a config without one of the variants, and retains the weight of the "
    "other",
    documented="SageMaker API reference, UpdateEndpoint, does not say what becomes of a variant that is missing",
    believed="A has weight 5 and 1 instances",
    costs=_hours(0.5),
)
def retained_properties_without_a_variant(account: Account) -> str:
    """Change the weight of A, and update to a config without B."""
    hosting, endpoint = _hosting(account), _endpoint(account)
    if hosting.describe(endpoint)["EndpointConfigName"] != _both(account):
        hosting.update(endpoint, _both(account))
    weights = [{"VariantName": "A", "DesiredWeight": 5.0}]
    hosting.sagemaker.update_endpoint_weights_and_capacities(EndpointName=endpoint, DesiredWeightsAndCapacities=weights)
    hosting.at_rest(endpoint, "any")
    hosting.update(endpoint, account.shared["config"], RetainAllVariantProperties=True)
    return ", ".join(
        f"{each['VariantName']} has weight {each['DesiredWeight']:g} and {each['DesiredInstanceCount']} instances"
        for each in hosting.describe(endpoint)["ProductionVariants"]
    )


@probe(
    "Every change of an endpoint changes its LastModifiedTime",
    documented="assumed: functions/promotion/history/references.py",
    believed="changed by a change of weights, and by an update",
    costs=_hours(0.3),
)
def the_time_of_the_last_modification(account: Account) -> str:
    """Change the weights, then update the endpoint, and compare the times."""
    hosting, endpoint = _hosting(account), _endpoint(account)
    times = [hosting.at_rest(endpoint)["LastModifiedTime"]]
    weights = [{"VariantName": "A", "DesiredWeight": 2.0}]
    hosting.sagemaker.update_endpoint_weights_and_capacities(EndpointName=endpoint, DesiredWeightsAndCapacities=weights)
    times.append(hosting.at_rest(endpoint, "any")["LastModifiedTime"])
    times.append(hosting.update(endpoint, account.shared["config"])["LastModifiedTime"])
    by = [("a change of weights", times[1] > times[0]), ("an update", times[2] > times[1])]
    return ", and ".join(f"{'' if changed else 'not '}changed by {what}" for what, changed in by).replace(
        "and changed by", "and by"
    )


@probe(
    "SageMaker passes an environment variable with an empty value on to the container",
    documented="assumed: embedded_aws/services/sagemaker/hosting/containers.py; users report the opposite",
    believed="an empty string",
    costs=_hours(0.05),
)
def an_empty_environment_variable(account: Account) -> str:
    """Read an empty variable of the model in its container."""
    hosting, endpoint = _hosting(account), _endpoint(account)
    found = hosting.invoke(endpoint)["empty"]
    return {"": "an empty string", None: "no variable"}.get(found, str(found))


def _canary(percent: int, wait: int, alarms: tuple[str, ...] = ()) -> dict[str, Any]:
    routing = {
        "Type": "CANARY",
        "WaitIntervalInSeconds": wait,
        "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": percent},
    }
    config: dict[str, Any] = {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing}}
    if alarms:
        config["AutoRollbackConfiguration"] = {"Alarms": [{"AlarmName": alarm} for alarm in alarms]}
    return config


@probe(
    "A canary of 50% has one instance of one, one of two, and two of three",
    documented="assumed: embedded_aws/services/sagemaker/hosting/guardrails.py; deployment guardrails name no rounding",
    believed="1 of 1, 1 of 2, 2 of 3",
    costs=_hours(2),
)
def the_rounding_of_a_canary(account: Account) -> str:
    """Deploy a canary to 1, 2 and 3 instances, and read its size while it bakes."""
    hosting, endpoint, says = _hosting(account), _endpoint(account), []
    for count in (1, 2, 3):
        config = hosting.config(f"canary{count}", {"A": count}, account.shared["model"])
        hosting.sagemaker.update_endpoint(
            EndpointName=endpoint, EndpointConfigName=config, DeploymentConfig=_canary(50, 180)
        )
        says.append(f"{account.wait(lambda: _baking(hosting, endpoint), 'the canary', 3600)} of {count}")
        hosting.at_rest(endpoint)
    return ", ".join(says)


def _baking(hosting: Hosting, endpoint: str) -> str | None:
    """Return the size of the canary in its baking period, "rejected" if there is no deployment, or None before it."""
    found = hosting.describe(endpoint)
    (pending,) = found.get("PendingDeploymentSummary", {}).get("ProductionVariants") or [{}]
    statuses = [status["Status"] for status in pending.get("VariantStatus", [])]
    if "Baking" in statuses:
        return str(pending["CurrentInstanceCount"])
    return None if found["EndpointStatus"] in ("Updating", "RollingBack") else "rejected"


@probe(
    "An alarm with metric math is accepted as a rollback alarm; if it is in ALARM, the deployment is rolled back, and "
    "FailureReason names it",
    documented="assumed: functions/promotion/endpoint/alarms.py; SageMaker documents no kind of alarm",
    believed="InService with the previous config, FailureReason names the alarm",
    costs=[*_hours(0.5), Cost("CloudWatch alarm metric", 2)],
)
def an_alarm_with_metric_math(account: Account) -> str:
    """Deploy a canary with an alarm of the maximum of two metrics, and set its state to ALARM."""
    hosting, endpoint, name = _hosting(account), _endpoint(account), account.name("math")
    before = hosting.describe(endpoint)["EndpointConfigName"]
    cloudwatch = account.client("cloudwatch")
    account.ledger.add("cloudwatch", "delete_alarms", AlarmNames=[name])
    metrics = [_metric(f"m{number}", endpoint, variant, 60) for number, variant in enumerate("AB")]
    cloudwatch.put_metric_alarm(
        AlarmName=name,
        Metrics=[*metrics, {"Id": "worst", "Expression": "MAX([m0, m1])", "ReturnData": True}],
        ComparisonOperator="GreaterThanThreshold",
        Threshold=0.5,
        EvaluationPeriods=1,
        TreatMissingData="notBreaching",
    )
    config = hosting.config("math", {"A": 1}, account.shared["model"])
    deployment = _canary(50, 300, (name,))
    hosting.sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=config, DeploymentConfig=deployment)

    def ended() -> dict[str, Any] | None:
        # CloudWatch evaluates the alarm every minute, and returns it to OK.
        cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a probe")
        found = hosting.describe(endpoint)
        return None if found["EndpointStatus"] in ("Updating", "RollingBack") else found

    account.pause(0 if account.is_embedded else 20)
    found = account.wait(ended, "the rollback", 3600)
    which = "previous" if found["EndpointConfigName"] == before else "new"
    reason = str(found.get("FailureReason"))
    named = "FailureReason names the alarm" if name in reason else f"FailureReason {reason}"
    return f"{found['EndpointStatus']} with the {which} config, {named}"


def _metric(identifier: str, endpoint: str, variant: str, period: int) -> dict[str, Any]:
    dimensions = [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": variant}]
    metric = {"Namespace": "AWS/SageMaker", "MetricName": "Invocation5XXErrors", "Dimensions": dimensions}
    return {
        "Id": identifier,
        "MetricStat": {"Metric": metric, "Period": period, "Stat": "Average"},
        "ReturnData": False,
    }


def _target(account: Account, **more: Any) -> dict[str, Any]:
    """Return the scalable target of the endpoint, which the end of the run deregisters."""
    target = {**_DIMENSION, "ResourceId": f"endpoint/{_endpoint(account)}/variant/A"}
    if "target" not in account.shared:
        account.ledger.add("application-autoscaling", "deregister_scalable_target", **target)
        account.shared["target"] = True
    return target | more


def _deregister(account: Account) -> None:
    error_of(lambda: account.client("application-autoscaling").deregister_scalable_target(**_target(account)))


@probe(
    "RegisterScalableTarget accepts MinCapacity 0 for a variant of a real-time endpoint",
    documented="Application Auto Scaling API reference, RegisterScalableTarget, names the kinds that support 0",
    believed="accepted",
)
def a_minimum_capacity_of_zero(account: Account) -> str:
    """Register a variant with MinCapacity 0."""
    client = account.client("application-autoscaling")
    says = error_of(lambda: client.register_scalable_target(**_target(account, MinCapacity=0, MaxCapacity=1)))
    _deregister(account)
    return says


@probe(
    "A scheduled action after which the minimum would exceed the maximum changes nothing, and a one-time action "
    "remains in descriptions",
    documented="assumed: embedded_aws/services/application_autoscaling/",
    believed="1 to 1, 1 action",
)
def a_scheduled_action_above_the_maximum(account: Account) -> str:
    """Let a scheduled action set only a minimum that exceeds the maximum."""
    client, target = account.client("application-autoscaling"), _target(account)
    client.register_scalable_target(**target, MinCapacity=1, MaxCapacity=1)
    seconds = 2 if account.is_embedded else 120
    at = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
    action = {"ScheduledActionName": account.name("action"), "Schedule": f"at({at:%Y-%m-%dT%H:%M:%S})"}
    client.put_scheduled_action(**target, **action, ScalableTargetAction={"MinCapacity": 2})
    account.pause(seconds + (1 if account.is_embedded else 120))
    (found,) = client.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[target["ResourceId"]])[
        "ScalableTargets"
    ]
    actions = client.describe_scheduled_actions(ServiceNamespace="sagemaker", ResourceId=target["ResourceId"])
    says = f"{found['MinCapacity']} to {found['MaxCapacity']}, {len(actions['ScheduledActions'])} action"
    _deregister(account)
    return says


@probe(
    "DeregisterScalableTarget of a target with a policy requires cloudwatch:DeleteAlarms of its caller",
    documented="assumed: embedded_aws/services/application_autoscaling/; template.yaml, ScaleEndpoints",
    believed="without the permission AccessDeniedException",
    costs=[Cost("CloudWatch alarm metric", 2)],
)
def alarms_of_a_deregistered_target(account: Account) -> str:
    """Deregister a target with a policy as a role that can only deregister."""
    client, target = account.client("application-autoscaling"), _target(account)
    client.register_scalable_target(**target, MinCapacity=1, MaxCapacity=2)
    tracking = {"PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}}
    alarms = client.put_scaling_policy(
        **target,
        PolicyName=account.name("policy"),
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={"TargetValue": 1000.0, **tracking},
    )["Alarms"]
    actions = ["DeregisterScalableTarget", "DescribeScalableTargets"]
    role = account.role("deregister", [allow([f"application-autoscaling:{action}" for action in actions])])
    other = account.client("application-autoscaling", account.session_of(role))
    account.settling(lambda: other.describe_scalable_targets(ServiceNamespace="sagemaker"), "AccessDenied")
    says = f"without the permission {error_of(lambda: other.deregister_scalable_target(**target))}"
    account.pause(0 if account.is_embedded else 10)
    names = [alarm["AlarmName"] for alarm in alarms]
    if "accepted" in says and names:
        left = account.client("cloudwatch").describe_alarms(AlarmNames=names)["MetricAlarms"]
        says += f", {len(left)} alarms left"
    _deregister(account)
    return says


@probe(
    "FILL(metric, 0) of a metric that was never reported has values, so that an alarm on it becomes OK",
    documented="assumed: template.yaml, alarms of the monitor; CloudWatch user guide, Using math expressions (FILL)",
    believed="OK",
    costs=[Cost("CloudWatch alarm metric", 1)],
)
def fill_of_a_metric_that_never_was(account: Account) -> str:
    """Create an alarm on FILL of an unknown metric that treats missing data as missing, and wait for its state."""
    name, cloudwatch = account.name("fill"), account.client("cloudwatch")
    account.ledger.add("cloudwatch", "delete_alarms", AlarmNames=[name])
    metric = {"Namespace": "ModelPromotionProbe", "MetricName": name}
    cloudwatch.put_metric_alarm(
        AlarmName=name,
        Metrics=[
            {
                "Id": "never",
                "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"},
                "ReturnData": False,
            },
            {"Id": "filled", "Expression": "SUM([FILL(never, 0)])", "ReturnData": True},
        ],
        ComparisonOperator="GreaterThanThreshold",
        Threshold=0,
        EvaluationPeriods=1,
        TreatMissingData="missing",
    )

    def state() -> str | None:
        (found,) = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
        return str(found["StateValue"]) if found["StateValue"] != "INSUFFICIENT_DATA" else None

    try:
        return account.wait(state, "the alarm", 60 if account.is_embedded else 300)
    except TimeoutError:
        return "INSUFFICIENT_DATA"


@probe(
    "CreateEndpoint with a KmsKeyId in its config requires kms:CreateGrant of its caller",
    documented="SageMaker developer guide, API permissions reference",
    believed="AccessDeniedException",
    costs=[Cost("KMS key", 1), Cost("KMS request", 5)],
)
def create_endpoint_with_a_key(account: Account) -> str:
    """Create an endpoint with an encrypted volume as a role without permission for the key."""
    hosting, kms = _hosting(account), account.client("kms")
    _endpoint(account)
    key = kms.create_key(Description="A probe of Model Promotion")["KeyMetadata"]["KeyId"]
    account.ledger.add("kms", "schedule_key_deletion", KeyId=key, PendingWindowInDays=7)
    config = hosting.config("key", {"A": 1}, account.shared["model"], KmsKeyId=account.arn("kms", f"key/{key}"))
    role = account.role("key", [allow(["sagemaker:CreateEndpoint", "sagemaker:DescribeEndpoint"])])
    client, name = account.client("sagemaker", account.session_of(role)), account.name("key")
    account.ledger.add("sagemaker", "delete_endpoint", EndpointName=name)
    # Until the role has settled, every call is denied; afterwards, this endpoint does not exist.
    with contextlib.suppress(ClientError):
        account.settling(lambda: client.describe_endpoint(EndpointName=account.name("none")), "AccessDenied")
    return error_of(lambda: client.create_endpoint(EndpointName=name, EndpointConfigName=config))


@probe(
    "CreateModel accepts an image that does not exist, and refuses one with an OCI manifest",
    documented="assumed: embedded_aws/services/sagemaker/images.py; users report the refusal",
    believed="missing accepted, OCI ValidationException",
)
def images_of_a_model(account: Account) -> str:
    """Create models with an image that does not exist and with an image whose manifest is OCI's."""
    hosting, ecr, name = _hosting(account), account.client("ecr"), account.name("image")
    account.ledger.add("ecr", "delete_repository", repositoryName=name, force=True)
    ecr.create_repository(repositoryName=name)
    # A repository policy lets SageMaker's execution role pull; the account's own role needs none.
    registries.push_image(ecr, name, [b"a layer"], "oci", media_type=registries.OCI_MANIFEST)
    host = image(account.region).partition("/")[0].partition(".")[2]
    uri = f"{account.number}.{host}/{name}"
    missing = error_of(lambda: hosting.model("missing", image_uri=f"{uri}:missing"))
    oci = error_of(lambda: hosting.model("oci", image_uri=f"{uri}:oci"))
    return f"missing {missing}, OCI {oci}"
