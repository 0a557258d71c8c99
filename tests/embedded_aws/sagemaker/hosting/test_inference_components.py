"""Inference components follow the API reference of SageMaker and "Deploy models for real-time inference"."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws.aws import EmbeddedAws
from tests.embedded_aws.support.customers import QA, as_role, make_role
from tests.embedded_aws.support.sagemaker_account import (
    IMAGE,
    VARIANT,
    Account,
    arn,
    greeter,
    refused,
)
from tests.support.waiting import wait_for

NEEDS = {"MinMemoryRequiredInMb": 128}
ROLLING = {
    "RollingUpdatePolicy": {
        "MaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 50},
        "WaitIntervalInSeconds": 1,
    }
}


class Host(Account):
    """An account with an endpoint that hosts inference components."""

    def host_config(self, suffix: str = "host", **members: Any) -> str:
        variant = {"VariantName": VARIANT, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1, **members}
        name = f"{self.name}-{suffix}"
        self.sagemaker.create_endpoint_config(
            EndpointConfigName=name, ExecutionRoleArn=self.role_arn, ProductionVariants=[variant]
        )
        return name

    def component(self, name: str, specification: dict[str, Any], copies: int = 1) -> dict[str, Any]:
        """Create a component, wait until it has settled, and return its description."""
        self.sagemaker.create_inference_component(
            InferenceComponentName=name,
            EndpointName=self.name,
            VariantName=VARIANT,
            Specification=specification,
            RuntimeConfig={"CopyCount": copies},
        )
        return self.settled_component(name)

    def greeter_component(self, greeting: str, copies: int = 1) -> dict[str, Any]:
        model = self.model(greeting.lower(), greeter(greeting))
        return self.component(self.name, specification(model), copies)

    def update_component(self, model: str, **request: Any) -> None:
        self.sagemaker.update_inference_component(
            InferenceComponentName=self.name, Specification=specification(model), **request
        )

    def describe_component(self, name: str = "") -> dict[str, Any]:
        description: dict[str, Any] = self.sagemaker.describe_inference_component(
            InferenceComponentName=name or self.name
        )
        return description

    def settled_component(self, name: str = "") -> dict[str, Any]:
        def settled() -> dict[str, Any] | None:
            description = self.describe_component(name)
            return None if description["InferenceComponentStatus"].endswith("ing") else description

        found: dict[str, Any] = wait_for(settled)
        return found

    def delete_component(self, name: str = "") -> None:
        self.sagemaker.delete_inference_component(InferenceComponentName=name or self.name)
        wait_for(lambda: self.components() == [])

    def components(self) -> list[str]:
        listed = self.sagemaker.list_inference_components(EndpointNameEquals=self.name)["InferenceComponents"]
        return [each["InferenceComponentName"] for each in listed]

    def ask(self, name: str = "") -> str:
        return self.greet(InferenceComponentName=name or self.name)


def specification(model: str) -> dict[str, Any]:
    return {"ModelName": model, "ComputeResourceRequirements": NEEDS}


@pytest.fixture
def host(aws: EmbeddedAws, name: str, monkeypatch: pytest.MonkeyPatch) -> Host:
    """Return an account whose endpoint hosts components."""
    monkeypatch.setattr(aws.pace, "endpoint_change", 0.1)
    account = Host("qa", name)
    account.endpoint(account.host_config())
    return account


def test_a_component_serves_its_model_on_the_endpoint(host: Host) -> None:
    description = host.greeter_component("Hello", copies=2)

    assert description["InferenceComponentStatus"] == "InService"
    assert description["InferenceComponentArn"] == arn(host, "inference-component", host.name)
    assert description["EndpointArn"] == arn(host, "endpoint", host.name)
    assert description["RuntimeConfig"] == {"DesiredCopyCount": 2, "CurrentCopyCount": 2}
    assert description["Specification"]["ModelName"] == f"{host.name}-hello"
    assert description["Specification"]["ComputeResourceRequirements"] == NEEDS
    assert description["Specification"]["Container"]["DeployedImage"]["SpecifiedImage"] == IMAGE
    assert host.ask() == "Hello Ada"
    wait_for(lambda: host.log(f"/aws/sagemaker/InferenceComponents/{host.name}"))
    [variant] = host.describe()["ProductionVariants"]
    assert "DeployedImages" not in variant


def test_the_metrics_of_a_component_have_its_name(host: Host) -> None:
    host.greeter_component("Hello")

    host.ask()
    with pytest.raises(ClientError, match=r"server error \(500\)"):
        host.greet("nobody", InferenceComponentName=host.name)

    sums = {
        name: host.metric(name, InferenceComponentName=host.name)["Sum"]
        for name in ("Invocations", "Invocation5XXErrors")
    }
    assert sums == {"Invocations": 2, "Invocation5XXErrors": 1}
    assert host.metric("Invocations", EndpointName=host.name, VariantName=VARIANT) == {}


def test_a_component_has_a_container_instead_of_a_model(host: Host) -> None:
    url = host.put("own/model.tar.gz", greeter("Welcome"))
    container = {"Image": IMAGE, "ArtifactUrl": url}

    description = host.component(host.name, {"Container": container, "ComputeResourceRequirements": NEEDS})

    assert host.ask() == "Welcome Ada"
    assert description["Specification"]["Container"]["ArtifactUrl"] == url
    assert "Image" not in description["Specification"]["Container"]


def test_an_invocation_names_the_component(host: Host) -> None:
    host.greeter_component("Hello")

    with pytest.raises(ClientError, match="Inference Component Name header is required"):
        host.greet()
    with pytest.raises(ClientError, match="Inference Component missing of endpoint"):
        host.ask("missing")


def test_an_endpoint_with_models_hosts_no_component(aws: EmbeddedAws, name: str) -> None:
    account = Host("qa", name)
    account.endpoint(account.greeter_config("a", "Hello"))

    with pytest.raises(ClientError, match="Inference Component Name header is not allowed"):
        account.ask()
    with pytest.raises(ClientError, match="Inference components are not supported on endpoint"):
        account.greeter_component("Bye")
    with pytest.raises(ClientError, match="between hosting models and hosting inference components"):
        account.update(account.host_config())


def test_the_statuses_of_an_update_end_with_the_new_specification(host: Host) -> None:
    host.greeter_component("Hello")
    host.update_component(host.model("bye", greeter("Bye")))
    assert host.describe_component()["InferenceComponentStatus"] == "Updating"
    assert host.describe_component()["Specification"]["ModelName"] == f"{host.name}-hello"
    refusals = [
        refused(host.update_component, model=f"{host.name}-hello"),
        refused(host.delete_component),
        refused(
            host.sagemaker.update_inference_component_runtime_config,
            InferenceComponentName=host.name,
            DesiredRuntimeConfig={"CopyCount": 2},
        ),
    ]

    description = host.settled_component()

    assert {code for code, _ in refusals} == {"ValidationException"}
    assert all(message.startswith("Cannot update in-progress inference component") for _, message in refusals)
    assert description["Specification"]["ModelName"] == f"{host.name}-bye"
    assert host.ask() == "Bye Ada"


def test_an_update_that_cannot_start_keeps_the_old_copies(host: Host) -> None:
    host.greeter_component("Hello")
    broken = host.model("broken", greeter("?", "import no_such_module"))

    host.update_component(broken)
    description = host.settled_component()

    assert description["InferenceComponentStatus"] == "InService"
    assert f"for inference component {host.name} did not pass the ping health check" in description["FailureReason"]
    assert description["Specification"]["ModelName"] == f"{host.name}-hello"
    assert host.ask() == "Hello Ada"


def test_a_component_that_cannot_start_is_failed_and_can_be_replaced(host: Host) -> None:
    broken = host.model("broken", greeter("?", "import no_such_module"))

    description = host.component(host.name, specification(broken))

    assert description["InferenceComponentStatus"] == "Failed"
    assert "ping health check" in description["FailureReason"]
    host.delete_component()
    assert host.greeter_component("Hello")["InferenceComponentStatus"] == "InService"


def test_a_rolling_update_is_rolled_back_by_an_alarm(host: Host) -> None:
    host.greeter_component("Hello", copies=2)
    alarm = f"{host.name}-errors"
    cloudwatch = host.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName=alarm,
        Namespace="AWS/SageMaker",
        MetricName="Invocation5XXErrors",
        Dimensions=[{"Name": "InferenceComponentName", "Value": host.name}],
        Statistic="Average",
        Period=60,
        EvaluationPeriods=1,
        Threshold=0.1,
        ComparisonOperator="GreaterThanThreshold",
        # It keeps the state that is set.
        TreatMissingData="ignore",
    )
    cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="test")
    guarded = ROLLING | {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": alarm}]}}

    host.update_component(host.model("bye", greeter("Bye")), DeploymentConfig=guarded)
    description = host.settled_component()

    assert description["InferenceComponentStatus"] == "InService"
    assert alarm in description["FailureReason"]
    assert description["LastDeploymentConfig"] == guarded
    assert description["Specification"]["ModelName"] == f"{host.name}-hello"
    host.update_component(f"{host.name}-bye", DeploymentConfig=ROLLING)
    assert host.settled_component()["Specification"]["ModelName"] == f"{host.name}-bye"


def test_a_deployment_config_must_suit_the_copies_and_name_existing_alarms(host: Host) -> None:
    host.greeter_component("Hello", copies=4)
    large = {
        "RollingUpdatePolicy": {"MaximumBatchSize": {"Type": "COPY_COUNT", "Value": 3}, "WaitIntervalInSeconds": 0}
    }
    unknown = ROLLING | {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "missing"}]}}

    for deployment_config, message in (
        (large, "MaximumBatchSize must be between 5% and 50%"),
        (unknown, "Could not find the alarms"),
    ):
        with pytest.raises(ClientError, match=message):
            host.update_component(f"{host.name}-hello", DeploymentConfig=deployment_config)


def test_copies_scale_to_zero_and_back_with_the_instances(host: Host) -> None:
    managed = {"Status": "ENABLED", "MinInstanceCount": 0, "MaxInstanceCount": 2}
    host.update(host.host_config("managed", ManagedInstanceScaling=managed))
    host.settled()
    host.greeter_component("Hello")

    host.sagemaker.update_inference_component_runtime_config(
        InferenceComponentName=host.name, DesiredRuntimeConfig={"CopyCount": 0}
    )
    asleep = host.settled_component()

    assert asleep["RuntimeConfig"] == {"DesiredCopyCount": 0, "CurrentCopyCount": 0}
    assert host.describe()["ProductionVariants"][0]["CurrentInstanceCount"] == 0
    with pytest.raises(ClientError, match="Inference Component has no capacity to process this request"):
        host.ask()
    assert host.metric("NoCapacityInvocationFailures", InferenceComponentName=host.name)["Sum"] == 1
    host.sagemaker.update_inference_component_runtime_config(
        InferenceComponentName=host.name, DesiredRuntimeConfig={"CopyCount": 1}
    )
    host.settled_component()
    assert host.ask() == "Hello Ada"
    assert host.describe()["ProductionVariants"][0]["CurrentInstanceCount"] == 1


def test_a_component_needs_its_model_to_start_copies(host: Host) -> None:
    host.greeter_component("Hello", copies=0)
    host.sagemaker.delete_model(ModelName=f"{host.name}-hello")

    with pytest.raises(ClientError, match="Could not find model"):
        host.sagemaker.update_inference_component_runtime_config(
            InferenceComponentName=host.name, DesiredRuntimeConfig={"CopyCount": 1}
        )


def test_an_adapter_is_served_by_its_base(host: Host) -> None:
    host.greeter_component("Hello")
    adapter = f"{host.name}-adapter"
    request = {"InferenceComponentName": adapter, "EndpointName": host.name}
    base = {"BaseInferenceComponentName": host.name}
    missing = {"ArtifactUrl": f"s3://{host.bucket}/missing.tar.gz"}
    with pytest.raises(ClientError, match="Could not access the adapter"):
        host.sagemaker.create_inference_component(**request, Specification=base | {"Container": missing})

    container = {"ArtifactUrl": host.put("adapter.tar.gz", greeter("Adapter"))}
    host.sagemaker.create_inference_component(**request, Specification=base | {"Container": container})
    description = host.settled_component(adapter)

    assert description["InferenceComponentStatus"] == "InService"
    assert description["VariantName"] == VARIANT
    assert description["Specification"] == base | {"Container": container}
    assert "RuntimeConfig" not in description
    assert host.ask(adapter) == "Hello Ada"
    with pytest.raises(ClientError, match="with adapters"):
        host.delete_component()


@pytest.mark.parametrize(
    ("specification_", "message"),
    [
        ({"ModelName": "m"}, "ComputeResourceRequirements is required"),
        ({"ComputeResourceRequirements": NEEDS}, "Exactly one of ModelName and Container.Image"),
        (
            {"ModelName": "m", "Container": {"Image": IMAGE}, "ComputeResourceRequirements": NEEDS},
            "Exactly one of ModelName and Container.Image",
        ),
        ({"BaseInferenceComponentName": "b"}, "requires Container.ArtifactUrl"),
        ({"BaseInferenceComponentName": "b", "ModelName": "m"}, "neither a model nor compute resources"),
        ({"ModelName": "missing", "ComputeResourceRequirements": NEEDS}, "Could not find model"),
    ],
)
def test_an_incomplete_specification_is_refused(host: Host, specification_: dict[str, Any], message: str) -> None:
    with pytest.raises(ClientError, match=message):
        host.component(host.name, specification_)
    assert host.components() == []


def test_an_endpoint_that_hosts_components_cannot_be_deleted(host: Host) -> None:
    host.greeter_component("Hello")

    with pytest.raises(ClientError, match="that hosts inference components"):
        host.sagemaker.delete_endpoint(EndpointName=host.name)

    host.delete_component()
    host.sagemaker.delete_endpoint(EndpointName=host.name)


def test_the_config_of_a_host_needs_a_role_and_only_variants_without_models(host: Host) -> None:
    bare = {"VariantName": VARIANT, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    model = host.model("a", greeter("Hello"))
    create, role = host.sagemaker.create_endpoint_config, {"ExecutionRoleArn": host.role_arn}
    for request, message in (
        ({"ProductionVariants": [bare]}, "ExecutionRoleArn"),
        (role | {"ProductionVariants": [bare, bare | {"VariantName": "B", "ModelName": model}]}, "or for none"),
        (
            role | {"ProductionVariants": [{"VariantName": "A", "ServerlessConfig": _SERVERLESS}]},
            "does not support inference components",
        ),
        (
            role
            | {
                "ProductionVariants": [bare],
                "AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": f"s3://{host.bucket}/out/"}},
            },
            "AsyncInferenceConfig is not supported",
        ),
    ):
        with pytest.raises(ClientError, match=message):
            create(EndpointConfigName=f"{host.name}-refused", **request)


_SERVERLESS = {"MemorySizeInMB": 1024, "MaxConcurrency": 1}


def test_components_are_listed_by_endpoint_with_pages_of_ten(host: Host) -> None:
    model = host.model("hello", greeter("Hello"))
    for number in range(11):
        host.sagemaker.create_inference_component(
            InferenceComponentName=f"{host.name}-{number}",
            EndpointName=host.name,
            VariantName=VARIANT,
            Specification=specification(model),
            RuntimeConfig={"CopyCount": 0},
        )

    page = host.sagemaker.list_inference_components(EndpointNameEquals=host.name)

    assert len(page["InferenceComponents"]) == 10
    assert page["NextToken"]
    found = host.sagemaker.list_inference_components(NameContains=f"{host.name}-3")["InferenceComponents"]
    assert [(each["EndpointName"], each["VariantName"]) for each in found] == [(host.name, VARIANT)]


def test_a_component_has_tags(host: Host) -> None:
    host.greeter_component("Hello")
    resource = arn(host, "inference-component", host.name)

    host.sagemaker.add_tags(ResourceArn=resource, Tags=[{"Key": "team", "Value": "a"}])

    assert host.sagemaker.list_tags(ResourceArn=resource)["Tags"] == [{"Key": "team", "Value": "a"}]


@pytest.mark.parametrize("lacking", ["endpoint", "inference-component"])
def test_the_creation_and_the_invocation_require_permissions_for_both_resources(host: Host, lacking: str) -> None:
    host.greeter_component("Hello")
    resources = [arn(host, kind, "*") for kind in ("endpoint", "inference-component") if kind != lacking]
    actions = ["sagemaker:CreateInferenceComponent", "sagemaker:InvokeEndpoint"]
    role = make_role(f"{host.name}-{lacking}", QA, actions, "lambda.amazonaws.com", resources)

    with pytest.raises(ClientError, match=f"CreateInferenceComponent on resource: .*:{lacking}/"):
        as_role("sagemaker", role).create_inference_component(
            InferenceComponentName=f"{host.name}-2",
            EndpointName=host.name,
            VariantName=VARIANT,
            Specification=specification(f"{host.name}-hello"),
            RuntimeConfig={"CopyCount": 1},
        )
    with pytest.raises(ClientError, match=f"InvokeEndpoint on resource: .*:{lacking}/"):
        as_role("sagemaker-runtime", role).invoke_endpoint(
            EndpointName=host.name, InferenceComponentName=host.name, ContentType="application/json", Body=b'"Ada"'
        )


def test_a_capacity_range_moves_the_copies_of_a_component(host: Host) -> None:
    host.greeter_component("Hello")
    scaling = host.client("application-autoscaling")
    target = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"inference-component/{host.name}",
        "ScalableDimension": "sagemaker:inference-component:DesiredCopyCount",
    }

    scaling.register_scalable_target(**target, MinCapacity=3, MaxCapacity=4)

    wait_for(lambda: host.settled_component()["RuntimeConfig"]["CurrentCopyCount"] == 3)
    host.delete_component()
    known = scaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[target["ResourceId"]])
    assert known["ScalableTargets"] == []
