from typing import Any

import pytest

from promotion.endpoint.smoke_test import validated
from promotion.plan.compatibility import notes, refusals
from promotion.plan.deployment import Deployment

ENDPOINT = "reviews-qa"
INSTANCES = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 2}
SERVERLESS = {"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}}
OUTPUT = {"OutputConfig": {"S3OutputPath": "s3://b/out", "S3FailurePath": "s3://b/failed"}}
CAPTURE = {
    "InitialSamplingPercentage": 10,
    "DestinationS3Uri": "s3://b/c",
    "CaptureOptions": [{"CaptureMode": "Input"}],
}
VPC = {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
CANARY = {
    "BlueGreenUpdatePolicy": {
        "TrafficRoutingConfiguration": {
            "Type": "CANARY",
            "WaitIntervalInSeconds": 300,
            "CanarySize": {"Type": "INSTANCE_COUNT", "Value": 1},
        }
    }
}
SINGLE = {"Image": "image", "ModelDataUrl": "s3://b/model.tar.gz"}
MULTI = {"Image": "image", "ModelDataUrl": "s3://b/models/", "Mode": "MultiModel"}
PLAIN = {"Image": "image", "ModelDataSource": {"S3DataSource": {"S3Uri": "s3://b/m/"}}}
PIPELINE = [{**SINGLE, "ContainerHostname": "first"}, {**SINGLE, "ContainerHostname": "second"}]

# The kinds of endpoints, as EndpointConfig.
KINDS: dict[str, dict[str, Any]] = {
    "instances": {"ProductionVariants": [INSTANCES]},
    "pools": {
        "ProductionVariants": [
            {"InstancePools": [{"InstanceType": "ml.g5.xlarge", "Priority": 1}], "InitialInstanceCount": 2}
        ]
    },
    "several": {"ProductionVariants": [{**INSTANCES, "VariantName": "A"}, {**INSTANCES, "VariantName": "B"}]},
    "serverless": {"ProductionVariants": [SERVERLESS]},
    "asynchronous": {"ProductionVariants": [INSTANCES], "AsyncInferenceConfig": OUTPUT},
    "shadow": {"ProductionVariants": [INSTANCES], "ShadowProductionVariants": [INSTANCES]},
    "captured": {"ProductionVariants": [INSTANCES], "DataCaptureConfig": CAPTURE, "KmsKeyId": "key"},
}
# The features to combine with each kind, and the kinds for which they are refused, with a part of the reason.
FEATURES: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "nothing more": ({}, {}),
    "capture": (
        {"EndpointConfig": {"DataCaptureConfig": CAPTURE}},
        {"serverless": "ServerlessConfig cannot be combined with DataCaptureConfig"},
    ),
    "a key": ({"EndpointConfig": {"KmsKeyId": "key"}}, {}),
    "asynchronous": (
        {"EndpointConfig": {"AsyncInferenceConfig": OUTPUT}},
        {
            "serverless": "ServerlessConfig cannot be combined with AsyncInferenceConfig",
            "shadow": "ShadowProductionVariants cannot be combined with AsyncInferenceConfig",
        },
    ),
    "a shadow": (
        {"EndpointConfig": {"ShadowProductionVariants": [INSTANCES]}},
        {
            "serverless": "ServerlessConfig cannot be combined with ShadowProductionVariants",
            "asynchronous": "ShadowProductionVariants cannot be combined with AsyncInferenceConfig",
            "several": "2 ProductionVariants and 1 ShadowProductionVariants, but SageMaker accepts only one of each",
        },
    ),
    "a VPC": (
        {"Model": {"VpcConfig": VPC}},
        {"serverless": "ServerlessConfig cannot be combined with Model.VpcConfig"},
    ),
    "isolation": (
        {"Model": {"EnableNetworkIsolation": True}},
        {"serverless": "ServerlessConfig cannot be combined with Model.EnableNetworkIsolation"},
    ),
    "a canary": (
        {"DeploymentConfig": CANARY},
        {"serverless": "DeploymentConfig cannot be combined with ServerlessConfig"},
    ),
    "an isolated model": ({"isolated": True}, {"serverless": "cannot be combined with a model with network isolation"}),
    "a pipeline": (
        {"containers": PIPELINE},
        {
            "serverless": "cannot be combined with a pipeline of several containers",
            "shadow": "ShadowProductionVariants cannot be combined with a pipeline of several containers",
        },
    ),
    "direct mode": (
        {"containers": PIPELINE, "mode": "Direct", "suite": "skip"},
        {
            "serverless": "cannot be combined with a pipeline of several containers",
            "shadow": "ShadowProductionVariants cannot be combined with a pipeline of several containers",
            "asynchronous": "InvokeEndpointAsync has no parameter TargetContainerHostname",
        },
    ),
    "many models": (
        {"containers": [MULTI], "suite": "skip"},
        {
            "serverless": "cannot be combined with a multi-model endpoint",
            "shadow": "ShadowProductionVariants cannot be combined with a multi-model endpoint",
            "asynchronous": "InvokeEndpointAsync has no parameter TargetModel",
        },
    ),
    "uncompressed artifacts": (
        {"containers": [PLAIN]},
        {"serverless": "cannot be combined with a model with uncompressed artifacts"},
    ),
    "a real-time endpoint": (
        {"live": {"ProductionVariants": [{**INSTANCES, "VariantName": "AllTraffic", "ModelName": "reviews"}]}},
        {
            "serverless": "The endpoint reviews-qa is real-time and would become serverless",
            "asynchronous": "The endpoint reviews-qa is real-time and would become asynchronous",
        },
    ),
    "a serverless endpoint": (
        {"live": {"ProductionVariants": [{**SERVERLESS, "VariantName": "AllTraffic", "ModelName": "reviews"}]}},
        dict.fromkeys(set(KINDS) - {"serverless"}, "The endpoint reviews-qa is serverless and would become"),
    ),
}


def suite(**case: Any) -> dict[str, Any]:
    return validated({"cases": [{"name": "one", "body": {}, "expect": "`true`", **case}]}, "a test")


def found(config: dict[str, Any], **given: Any) -> list[str]:
    return refusals(deployment(config, **given))


def deployment(config: dict[str, Any], **given: Any) -> Deployment:
    settings = {
        "EndpointConfig": config | given.pop("EndpointConfig", {}),
        "Model": given.pop("Model", {}),
        "DeploymentConfig": given.pop("DeploymentConfig", {}),
    }
    whole: dict[str, Any] = {
        "containers": [SINGLE],
        "mode": "",
        "isolated": False,
        "suite": suite(),
        "body_sizes": [2],
        "endpoint": ENDPOINT,
        "live": None,
        "description": None,
        "alarms": set(),
        "seconds": 5400,
    }
    return Deployment(settings=settings, **whole | given)


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("kind", KINDS)
def test_each_feature_is_accepted_or_refused_for_each_kind_of_endpoint(kind: str, feature: str) -> None:
    given, refused = FEATURES[feature]

    reasons = found(KINDS[kind], **given)

    if kind in refused:
        assert refused[kind] in " ".join(reasons)
    else:
        assert reasons == []


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"ProductionVariants": [{"InitialInstanceCount": 1}]}, "AllTraffic has no instance type"),
        ({"ProductionVariants": [{"InstanceType": "ml.m5.large"}]}, "AllTraffic has no InitialInstanceCount"),
        (
            {"ProductionVariants": [{**INSTANCES, "InstancePools": []}]},
            "AllTraffic has both InstanceType and InstancePools",
        ),
        (
            {"ProductionVariants": [{**INSTANCES, "InitialVariantWeight": 0}]},
            "All ProductionVariants have an InitialVariantWeight of 0",
        ),
        (
            {"ProductionVariants": [{**INSTANCES, **SERVERLESS}]},
            "ServerlessConfig cannot be combined with InitialInstanceCount",
        ),
        (
            {"ProductionVariants": [{"VariantName": "A", **SERVERLESS}, {"VariantName": "B", **SERVERLESS}]},
            "ServerlessConfig cannot be combined with several ProductionVariants",
        ),
        (
            {"ProductionVariants": [{"ServerlessConfig": {"MemorySizeInMB": 1500, "MaxConcurrency": 5}}]},
            "MemorySizeInMB of 1500. It must be a multiple of 1024",
        ),
        (
            {
                "ProductionVariants": [
                    {"ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 5, "ProvisionedConcurrency": 6}}
                ]
            },
            "ProvisionedConcurrency of 6. It must not exceed MaxConcurrency, which is 5.",
        ),
        (
            {"ProductionVariants": [INSTANCES], "ShadowProductionVariants": [SERVERLESS]},
            "ShadowProductionVariants cannot be combined with a serverless shadow variant",
        ),
        (
            {
                "ProductionVariants": [INSTANCES],
                "ShadowProductionVariants": [{"InstanceType": "ml.inf1.xlarge", "InitialInstanceCount": 1}],
            },
            "ShadowProductionVariants cannot be combined with ml.inf1 instances",
        ),
        (
            {"ProductionVariants": [INSTANCES], "AsyncInferenceConfig": {"OutputConfig": {}}},
            "AsyncInferenceConfig.OutputConfig has no S3OutputPath",
        ),
    ],
)
def test_a_config_that_contradicts_itself_is_refused(config: dict[str, Any], reason: str) -> None:
    assert reason in " ".join(found(config))


def test_all_reasons_are_returned_together() -> None:
    reasons = found({"ProductionVariants": [SERVERLESS], "DataCaptureConfig": CAPTURE}, Model={"VpcConfig": VPC})

    assert len(reasons) == 2


@pytest.mark.parametrize(
    ("named", "exist", "config", "refused"),
    [
        (["reviews-qa-5xx-rate"], [], "instances", False),
        (["reviews-qa-latency"], [], "instances", False),
        (["reviews-qa-latency"], [], "asynchronous", True),
        (["reviews-qa-5xx-rate"], [], "asynchronous", False),
        (["of-the-team"], [], "instances", True),
        (["of-the-team"], ["of-the-team"], "instances", False),
        (["reviews-qa-5xx-rate", "of-the-team"], ["of-another-team"], "instances", True),
        (["books-qa-5xx-rate"], [], "instances", True),
    ],
)
def test_an_alarm_that_does_not_exist_is_refused(
    named: list[str], exist: list[str], config: str, refused: bool
) -> None:
    guarded = CANARY | {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name} for name in named]}}

    reasons = found(KINDS[config], DeploymentConfig=guarded, alarms=set(exist))

    assert bool(reasons) is refused
    assert all("do not exist in this account" in reason for reason in reasons)
    assert all("reviews-qa-5xx-rate" in reason for reason in reasons)


@pytest.mark.parametrize(
    ("more", "own", "refused"),
    [(8, ["5xx-rate"], None), (9, ["5xx-rate"], "Remove 1 of them"), (8, ["5xx-rate", "latency"], "Remove 2 of them")],
)
def test_the_alarms_of_the_deployment_count_too(more: int, own: list[str], refused: str | None) -> None:
    names = [*(f"team-{number}" for number in range(more)), *(f"reviews-qa-{kind}" for kind in own)]
    guarded = CANARY | {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name} for name in names]}}

    reasons = found(KINDS["instances"], DeploymentConfig=guarded, alarms=set(names))

    assert [(refused or "") in reason for reason in reasons] == ([True] if refused else [])


@pytest.mark.parametrize(("guarded", "refused"), [(CANARY, True), ({}, False)])
def test_guardrails_require_the_same_variant_names(guarded: dict[str, Any], refused: bool) -> None:
    live = {"ProductionVariants": [{**INSTANCES, "VariantName": "AllTraffic", "ModelName": "reviews"}]}

    reasons = found(KINDS["several"], live=live, DeploymentConfig=guarded)

    assert bool(reasons) is refused
    assert all("has the variants AllTraffic, the settings have A, B." in reason for reason in reasons)


@pytest.mark.parametrize(
    ("containers", "mode", "case", "reason"),
    [
        ([MULTI], "", {}, "has no target_model, which a multi-model endpoint requires"),
        ([MULTI], "", {"target_model": "en.tar.gz"}, None),
        (
            [SINGLE],
            "",
            {"target_model": "en.tar.gz"},
            "has the target_model 'en.tar.gz', but the model is not a multi-model one",
        ),
        (
            PIPELINE,
            "Direct",
            {},
            "target_container_hostname None, but the model is in Direct mode with the containers first, second",
        ),
        (PIPELINE, "Direct", {"target_container_hostname": "third"}, "has the target_container_hostname 'third'"),
        (PIPELINE, "Direct", {"target_container_hostname": "second"}, None),
        (PIPELINE, "Serial", {"target_container_hostname": "second"}, "the model is not in Direct mode"),
    ],
)
def test_a_case_must_select_an_existing_model_or_container(
    containers: list[dict[str, Any]], mode: str, case: dict[str, Any], reason: str | None
) -> None:
    reasons = found(KINDS["instances"], containers=containers, mode=mode, suite=suite(**case))

    assert bool(reasons) is bool(reason)
    assert (reason or "") in " ".join(reasons)


@pytest.mark.parametrize(
    ("kind", "size", "refused"),
    [
        ("serverless", 4 * 1024**2, ""),
        ("serverless", 4 * 1024**2 + 1, "A serverless endpoint accepts at most 4194304"),
        ("instances", 6_291_456, ""),
        ("instances", 6_291_457, "An endpoint that is not asynchronous accepts at most 6291456"),
        ("asynchronous", 5 * 1024**4, ""),
    ],
)
def test_a_body_must_not_exceed_the_maximum_of_the_endpoint(kind: str, size: int, refused: str) -> None:
    reasons = found(KINDS[kind], body_sizes=[size])

    assert bool(reasons) is bool(refused)
    assert all(refused in reason for reason in reasons)


def scaled(to: int, started_with: int) -> dict[str, Any]:
    """Return the members of a Deployment that updates an endpoint that was scaled."""
    live = {
        "ProductionVariants": [
            {**INSTANCES, "VariantName": "AllTraffic", "ModelName": "m", "InitialInstanceCount": started_with}
        ]
    }
    return {
        "live": live,
        "description": {"ProductionVariants": [{"VariantName": "AllTraffic", "DesiredInstanceCount": to}]},
    }


@pytest.mark.parametrize(
    ("count", "fleet", "refused"),
    [
        (1, {}, "cannot be combined with 1 instance"),
        # An endpoint that was scaled out keeps its size.
        (1, scaled(to=4, started_with=1), None),
        # Any other gets the size of the settings.
        (1, scaled(to=4, started_with=4), "cannot be combined with 1 instance"),
        (4, scaled(to=20, started_with=4), "a LinearStepSize of 5% of the 20 instances"),
        (4, scaled(to=2, started_with=4), None),
    ],
)
def test_sizes_are_judged_by_the_size_of_the_fleet(count: int, fleet: dict[str, Any], refused: str | None) -> None:
    size = {"Type": "INSTANCE_COUNT", "Value": 1}
    routing = {"Type": "LINEAR", "WaitIntervalInSeconds": 60, "LinearStepSize": size}
    guarded = {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing}}
    config = {"ProductionVariants": [{**INSTANCES, "InitialInstanceCount": count}]}

    reasons = found(config, DeploymentConfig=guarded, **fleet)

    assert bool(reasons) is bool(refused)
    assert (refused or "") in " ".join(reasons)


@pytest.mark.parametrize(
    ("guarded", "warned"),
    [
        ({}, False),
        (CANARY, True),
        (CANARY | {"AutoRollbackConfiguration": {"Alarms": []}}, True),
        (CANARY | {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "reviews-qa-5xx-rate"}]}}, False),
    ],
)
def test_a_deployment_config_without_alarms_is_noted(guarded: dict[str, Any], warned: bool) -> None:
    found = list(notes(deployment(KINDS["instances"], DeploymentConfig=guarded)))

    assert any("DeploymentConfig names no alarms" in note for note in found) is warned
