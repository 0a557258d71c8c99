"""Which settings, model and live endpoint go together: what SageMaker would refuse is refused before anything is made.

Each refusal is a sentence or two: what, why, and what to do. Sources: serverless-endpoints.html, "Feature exclusions";
shadow-tests-exclusions.html; deployment-guardrails-exclusions.html; and the service model, where it says so in words.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from promotion.endpoint import alarms, guardrails
from promotion.endpoint.config import is_asynchronous, is_serverless
from promotion.endpoint.sagemaker import live_config
from promotion.endpoint.smoke_test import MAXIMUM_BODY_BYTES, SKIP
from promotion.errors import InvalidRequestError
from promotion.naming import VARIANT
from promotion.plan.smoke_test_files import SuiteFiles
from promotion.source.candidate import Candidate
from promotion.stage import Stage

MAXIMUM_SERVERLESS_BODY_BYTES = 4 * 1024**2

# Members of a variant that say something of its instances, which a serverless one does not have.
_OF_INSTANCES = (
    "CapacityReservationConfig",
    "CoreDumpConfig",
    "EnableSSMAccess",
    "InferenceAmiVersion",
    "InitialInstanceCount",
    "InstancePools",
    "InstanceType",
    "ManagedInstanceScaling",
    "RoutingConfig",
    "VolumeSizeInGB",
)


@dataclasses.dataclass(frozen=True)
class Deployment:
    """What is to be put where: the settings in force, the model, and what there is already.

    `containers` are the model's, `mode` its InferenceExecutionConfig's; `suite` is its smoke test ("skip" for none) and
    `body_sizes` has the bytes that each of its cases sends. `live` is DescribeEndpointConfig's answer for what
    `endpoint` has now (None for no endpoint), `alarms` are those of the DeploymentConfig that exist.
    """

    settings: dict[str, Any]
    containers: list[dict[str, Any]]
    mode: str
    isolated: bool
    suite: dict[str, Any] | str
    body_sizes: list[int]
    endpoint: str
    live: dict[str, Any] | None
    alarms: set[str]

    @property
    def config(self) -> dict[str, Any]:
        config: dict[str, Any] = self.settings["EndpointConfig"]
        return config

    @property
    def variants(self) -> list[dict[str, Any]]:
        variants: list[dict[str, Any]] = self.config["ProductionVariants"]
        return variants

    @property
    def is_multi_model(self) -> bool:
        return any(container.get("Mode") == "MultiModel" for container in self.containers)


def assert_deployable(
    sagemaker: Any,
    cloudwatch: Any,
    candidate: Candidate,
    settings: dict[str, Any],
    suite: SuiteFiles,
    stage: Stage,
) -> None:
    """Raise InvalidRequestError if SageMaker would refuse this candidate with these settings on its endpoint."""
    endpoint = stage.endpoint(candidate.application)
    named = guardrails.alarm_names(settings.get("DeploymentConfig", {}))
    deployment = Deployment(
        settings=settings,
        containers=candidate.containers,
        mode=(candidate.inference_execution_config or {}).get("Mode", ""),
        isolated=candidate.enable_network_isolation,
        suite=suite.suite,
        body_sizes=suite.body_sizes,
        endpoint=endpoint,
        live=live_config(sagemaker, endpoint),
        alarms=set(alarms.states(cloudwatch, named)),
    )
    if found := refusals(deployment):
        raise InvalidRequestError(f"{candidate.application} cannot be deployed in {stage.name}: {' '.join(found)}")


def refusals(deployment: Deployment) -> list[str]:
    """Why this cannot be deployed; empty when nothing is known against it."""
    return [
        *(_of_serverless(deployment) if is_serverless(deployment.config) else _of_instances(deployment)),
        *(_of_asynchronous(deployment) if is_asynchronous(deployment.config) else ()),
        *(_of_shadows(deployment) if "ShadowProductionVariants" in deployment.config else ()),
        *_of_deployment(deployment),
        *_of_live(deployment),
        *(_of_suite(deployment, deployment.suite) if isinstance(deployment.suite, dict) else ()),
    ]


def _of_serverless(deployment: Deployment) -> Iterator[str]:
    config, model = deployment.config, deployment.settings.get("Model", {})
    variant = deployment.variants[0]
    for member in _OF_INSTANCES:
        if any(member in variant for variant in deployment.variants):
            yield f"ServerlessConfig does not go with {member}: a serverless endpoint has no instances. Take one out."
    for there, what in (
        (len(deployment.variants) > 1, "several ProductionVariants"),
        ("ShadowProductionVariants" in config, "ShadowProductionVariants"),
        ("DataCaptureConfig" in config, "DataCaptureConfig"),
        ("AsyncInferenceConfig" in config, "AsyncInferenceConfig"),
        ("VpcConfig" in model, "Model.VpcConfig"),
        (bool(model.get("EnableNetworkIsolation")), "Model.EnableNetworkIsolation"),
    ):
        if there:
            yield f"ServerlessConfig does not go with {what}: SageMaker has no such serverless endpoints. Take one out."
    for there, what in (
        (deployment.isolated, "is in network isolation"),
        (len(deployment.containers) > 1, "is a pipeline of several containers"),
        (deployment.is_multi_model, "is a multi-model one"),
        (any("ModelDataSource" in container for container in deployment.containers), "has uncompressed artifacts"),
    ):
        if there:
            yield (
                f"ServerlessConfig does not go with this model, since it {what}, which SageMaker serves from instances "
                "only. Give it InstanceType and InitialInstanceCount instead."
            )
    serverless = variant.get("ServerlessConfig", {})
    if serverless.get("MemorySizeInMB", 0) % 1024:
        yield f"ServerlessConfig has a MemorySizeInMB of {serverless['MemorySizeInMB']}. Set a multiple of 1024."
    if serverless.get("ProvisionedConcurrency", 0) > serverless.get("MaxConcurrency", 0):
        yield "ServerlessConfig has more ProvisionedConcurrency than MaxConcurrency. Set as much at the most."


def _of_instances(deployment: Deployment) -> Iterator[str]:
    for variant in [*deployment.variants, *deployment.config.get("ShadowProductionVariants", [])]:
        name = variant.get("VariantName", VARIANT)
        if "InstanceType" in variant and "InstancePools" in variant:
            yield (
                f"The variant {name} has InstanceType and InstancePools, which are two ways to say the same. Take one "
                "out."
            )
        if not {"InstanceType", "InstancePools", "ServerlessConfig"} & variant.keys():
            yield f"The variant {name} says nothing of what it runs on. Give it InstanceType or InstancePools."
        if "InitialInstanceCount" not in variant and "ServerlessConfig" not in variant:
            yield f"The variant {name} has no InitialInstanceCount. Give it one."
    weights = [variant.get("InitialVariantWeight", 1) for variant in deployment.variants]
    if not any(weights):
        yield "All ProductionVariants have an InitialVariantWeight of 0, so that none would get a request. Raise one."


def _of_asynchronous(deployment: Deployment) -> Iterator[str]:
    output = deployment.config["AsyncInferenceConfig"]["OutputConfig"]
    if "S3OutputPath" not in output and deployment.suite != SKIP:
        yield (
            "AsyncInferenceConfig.OutputConfig has no S3OutputPath, so that the smoke test could find no answer. Give "
            "it one."
        )
    for there, what, needed in (
        (deployment.is_multi_model, "a multi-model one", "TargetModel"),
        (deployment.mode == "Direct", "a pipeline in Direct mode", "TargetContainerHostname"),
    ):
        if there:
            yield (
                f"AsyncInferenceConfig does not go with this model, since it is {what}: InvokeEndpointAsync has no "
                f"{needed} to ask it with. Take AsyncInferenceConfig out."
            )


def _of_shadows(deployment: Deployment) -> Iterator[str]:
    shadows = deployment.config["ShadowProductionVariants"]
    if len(shadows) > 1 or len(deployment.variants) > 1:
        yield (
            f"There are {len(deployment.variants)} ProductionVariants and {len(shadows)} ShadowProductionVariants; "
            "SageMaker takes one of each. Take the others out."
        )
    types = [name for variant in [*deployment.variants, *shadows] for name in guardrails.instance_types(variant)]
    for there, what in (
        (any("ServerlessConfig" in variant for variant in shadows), "a serverless shadow"),
        (is_asynchronous(deployment.config), "AsyncInferenceConfig"),
        (len(deployment.containers) > 1, "a model of several containers"),
        (deployment.is_multi_model, "a multi-model one"),
        (any(name.startswith("ml.inf1.") for name in types), "ml.inf1 instances"),
    ):
        if there:
            yield (
                f"ShadowProductionVariants do not go with {what}, which SageMaker excludes from shadow tests. Take one "
                "out."
            )


def _of_deployment(deployment: Deployment) -> Iterator[str]:
    deployment_config = deployment.settings.get("DeploymentConfig", {})
    if not deployment_config:
        return
    yield from guardrails.refusals(deployment_config, deployment.variants)
    own = set(alarms.names_of(deployment.endpoint).values())
    if is_asynchronous(deployment.config):
        own.remove(alarms.names_of(deployment.endpoint)["latency"])
    missing = [
        name for name in guardrails.alarm_names(deployment_config) if name not in deployment.alarms and name not in own
    ]
    if missing:
        yield (
            f"DeploymentConfig names the alarms {', '.join(missing)}, which do not exist in this account and region, "
            f"so that nothing would roll the deployment back. Make them, or name {' or '.join(sorted(own))}, which "
            "every promotion makes."
        )


def _of_live(deployment: Deployment) -> Iterator[str]:
    live, new = deployment.live, deployment.config
    if live is None:
        return
    if is_serverless(live) != is_serverless(new):
        what = (
            "is serverless and would come to run on instances, from which SageMaker does not turn back, so that a "
            "failure could not be undone"
            if is_serverless(live)
            else "runs on instances and would become serverless, which SageMaker does not do"
        )
        yield (
            f"The endpoint {deployment.endpoint} {what}. Delete the endpoint first (it does not answer until the "
            "promotion has made it anew), or promote under another application's name."
        )
    names = {variant["VariantName"] for variant in live["ProductionVariants"]}
    wanted = {variant.get("VariantName", VARIANT) for variant in new["ProductionVariants"]}
    if deployment.settings.get("DeploymentConfig") and names != wanted:
        yield (
            f"The endpoint {deployment.endpoint} has the variants {', '.join(sorted(names))} and would get "
            f"{', '.join(sorted(wanted))}; SageMaker's guardrails need the same names. Take DeploymentConfig out for "
            "this one promotion."
        )


def _of_suite(deployment: Deployment, suite: dict[str, Any]) -> Iterator[str]:
    hostnames = [container.get("ContainerHostname") for container in deployment.containers]
    for case, size in zip(suite["cases"], deployment.body_sizes, strict=True):
        name, target, hostname = case["name"], case["target_model"], case["target_container_hostname"]
        if deployment.is_multi_model and not target:
            yield f"The smoke test's case {name!a} has no target_model, but the model is a multi-model one. Give one."
        if target and not deployment.is_multi_model:
            yield (
                f"The smoke test's case {name!a} has the target_model {target!a}, and the model is no multi-model one. "
                "Take it out."
            )
        if deployment.mode == "Direct" and hostname not in hostnames:
            yield (
                f"The smoke test's case {name!a} asks the container {hostname!a}; the model's are in Direct mode and "
                f"called {', '.join(map(str, hostnames))}. Set target_container_hostname to one of them."
            )
        if hostname and deployment.mode != "Direct":
            yield (
                f"The smoke test's case {name!a} has a target_container_hostname, and the model has no containers in "
                "Direct mode. Take it out."
            )
        if size > MAXIMUM_BODY_BYTES and not is_asynchronous(deployment.config):
            yield (
                f"The smoke test's case {name!a} sends {size} bytes; an endpoint takes {MAXIMUM_BODY_BYTES}, unless it "
                "is asynchronous. Make it smaller."
            )
        elif is_serverless(deployment.config) and size > MAXIMUM_SERVERLESS_BODY_BYTES:
            yield (
                f"The smoke test's case {name!a} sends {size} bytes; a serverless endpoint takes "
                f"{MAXIMUM_SERVERLESS_BODY_BYTES}. Make it smaller."
            )
