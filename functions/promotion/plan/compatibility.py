"""Checks of settings, model and live endpoint for combinations that SageMaker refuses, before anything is created.

Each refusal names the combination, the reason and the remedy. Sources: serverless-endpoints.html, "Feature exclusions";
shadow-tests-exclusions.html; deployment-guardrails-exclusions.html; and the documentation in the service model.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from promotion.endpoint import alarms, guardrails, ownership, target
from promotion.endpoint.config import is_asynchronous, is_serverless
from promotion.endpoint.sagemaker import describe_endpoint_config
from promotion.endpoint.sharing import assert_shared
from promotion.endpoint.smoke_test import SKIP
from promotion.errors import InvalidRequestError
from promotion.naming import VARIANT
from promotion.plan import component_settings, endpoint_rules, other_models, scaling_rules, suite_rules, time_budget
from promotion.plan.deployment import Deployment
from promotion.plan.smoke_test_files import SuiteFiles
from promotion.source.candidate import Candidate
from promotion.stage import Stage

MAXIMUM_ALARMS = 10
"""The maximum of AutoRollbackConfiguration.Alarms (botocore's sagemaker model)."""

# Members of a variant that configure its instances.
_INSTANCE_MEMBERS = (
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


def assert_deployable(
    sagemaker: Any,
    cloudwatch: Any,
    candidate: Candidate,
    settings: dict[str, Any],
    suite: SuiteFiles,
    stage: Stage,
    seconds: int,
) -> list[str]:
    """Return notes about the deployment, for its preview; `seconds` is its time in the stage.

    Raise InvalidRequestError if SageMaker would refuse this candidate with these settings on its endpoint, and
    PromotionRefusedError if the endpoint does not belong to the application.
    """
    endpoint = stage.endpoint(candidate.application)
    component = settings.get("InferenceComponent", {})
    found = target.read(sagemaker, endpoint, component)
    description = found.endpoint
    if host := component.get("EndpointName"):
        assert_shared(sagemaker, found, host, candidate.application)
    elif description:
        ownership.assert_own(sagemaker, description, candidate.application, settings)
    alarm_names = guardrails.alarm_names(settings.get("DeploymentConfig", {}))
    deployment = Deployment(
        settings=settings,
        containers=candidate.containers,
        mode=(candidate.inference_execution_config or {}).get("Mode", ""),
        isolated=candidate.enable_network_isolation,
        suite=suite.suite,
        body_sizes=suite.body_sizes,
        endpoint=endpoint,
        live=describe_endpoint_config(sagemaker, description["EndpointConfigName"]) if description else None,
        description=description,
        alarms=set(alarms.states(cloudwatch, alarm_names)),
        seconds=seconds,
    )
    if reasons := [*refusals(deployment), *other_models.refusals(sagemaker, deployment.config)]:
        raise InvalidRequestError(
            f"The application {candidate.application} cannot be deployed in the stage {stage.name}. {' '.join(reasons)}"
        )
    return list(notes(deployment))


def refusals(deployment: Deployment) -> list[str]:
    """Return the reasons why SageMaker would refuse the deployment."""
    return [
        *endpoint_rules.refusals(deployment.config, hosts_components=deployment.is_component),
        *(_of_serverless(deployment) if is_serverless(deployment.config) else _of_instances(deployment)),
        *(_of_component(deployment) if deployment.is_component else ()),
        *(_of_asynchronous(deployment) if is_asynchronous(deployment.config) else ()),
        *(_of_shadows(deployment) if "ShadowProductionVariants" in deployment.config else ()),
        *_of_deployment(deployment),
        *(() if deployment.is_component else _of_scaling(deployment)),
        *time_budget.refusals(deployment.config, deployment.update, deployment.size, deployment.seconds),
        *_of_live(deployment),
        *(suite_rules.refusals(deployment.suite, *deployment.called) if isinstance(deployment.suite, dict) else ()),
    ]


def deployment_config(settings: dict[str, Any], endpoint: str) -> dict[str, Any]:
    """Return the DeploymentConfig of the settings, with the alarms that see only the new endpoint config.

    An inference component is deployed without a new endpoint config.
    """
    given: dict[str, Any] = settings.get("DeploymentConfig", {})
    return given if "InferenceComponent" in settings else alarms.with_deployment_alarms(endpoint, given)


def notes(deployment: Deployment) -> Iterator[str]:
    """Yield what an operator should know about a deployment that SageMaker would not refuse."""
    yield time_budget.note(deployment.config, deployment.update, deployment.size, deployment.seconds)
    config = deployment.settings.get("DeploymentConfig", {})
    if config and not guardrails.alarm_names(config):
        own = alarms.names_of(deployment.endpoint)
        yield (
            "DeploymentConfig names no alarms, so SageMaker would roll back no deployment because of errors of the new "
            f"model. Name {own['errors']} in AutoRollbackConfiguration.Alarms."
        )


def _of_scaling(deployment: Deployment) -> Iterator[str]:
    yield from scaling_rules.refusals(deployment.settings.get("Autoscaling"), deployment.config, deployment.endpoint)


def _of_component(deployment: Deployment) -> Iterator[str]:
    yield from component_settings.refusals(deployment.settings, deployment.containers, deployment.variants)


def _of_serverless(deployment: Deployment) -> Iterator[str]:
    config, model = deployment.config, deployment.settings.get("Model", {})
    variant = deployment.variants[0]
    for member in _INSTANCE_MEMBERS:
        if any(member in variant for variant in deployment.variants):
            yield (
                f"ServerlessConfig cannot be combined with {member}: a serverless endpoint has no instances. Remove "
                "one of them."
            )
    for applies, feature in (
        (len(deployment.variants) > 1, "several ProductionVariants"),
        ("ShadowProductionVariants" in config, "ShadowProductionVariants"),
        ("DataCaptureConfig" in config, "DataCaptureConfig"),
        ("AsyncInferenceConfig" in config, "AsyncInferenceConfig"),
        ("VpcConfig" in model, "Model.VpcConfig"),
        (bool(model.get("EnableNetworkIsolation")), "Model.EnableNetworkIsolation"),
    ):
        if applies:
            yield (
                f"ServerlessConfig cannot be combined with {feature}: SageMaker does not support this for serverless "
                "endpoints. Remove one of them."
            )
    for applies, model_kind in (
        (deployment.isolated, "a model with network isolation"),
        (len(deployment.containers) > 1, "a pipeline of several containers"),
        (deployment.is_multi_model, "a multi-model endpoint"),
        (any("ModelDataSource" in each for each in deployment.containers), "a model with uncompressed artifacts"),
    ):
        if applies:
            yield (
                f"ServerlessConfig cannot be combined with {model_kind}, which SageMaker supports only on instances. "
                "Replace ServerlessConfig with InstanceType and InitialInstanceCount."
            )
    serverless = variant.get("ServerlessConfig", {})
    if serverless.get("MemorySizeInMB", 0) % 1024:
        yield f"ServerlessConfig has a MemorySizeInMB of {serverless['MemorySizeInMB']}. It must be a multiple of 1024."
    if serverless.get("ProvisionedConcurrency", 0) > serverless.get("MaxConcurrency", 0):
        yield (
            f"ServerlessConfig has a ProvisionedConcurrency of {serverless['ProvisionedConcurrency']}. It must not "
            f"exceed MaxConcurrency, which is {serverless.get('MaxConcurrency', 0)}."
        )


def _of_instances(deployment: Deployment) -> Iterator[str]:
    for variant in [*deployment.variants, *deployment.config.get("ShadowProductionVariants", [])]:
        name = variant.get("VariantName", VARIANT)
        if "InstanceType" in variant and "InstancePools" in variant:
            yield (
                f"The variant {name} has both InstanceType and InstancePools, but SageMaker accepts only one. Remove "
                "one of them."
            )
        if not {"InstanceType", "InstancePools", "ServerlessConfig"} & variant.keys():
            yield f"The variant {name} has no instance type. Add InstanceType or InstancePools."
        if "InitialInstanceCount" not in variant and "ServerlessConfig" not in variant:
            yield f"The variant {name} has no InitialInstanceCount. Add it."
    weights = [variant.get("InitialVariantWeight", 1) for variant in deployment.variants]
    if not any(weights):
        yield (
            "All ProductionVariants have an InitialVariantWeight of 0, so none of them would get requests. Increase at "
            "least one weight."
        )


def _of_asynchronous(deployment: Deployment) -> Iterator[str]:
    output = deployment.config["AsyncInferenceConfig"]["OutputConfig"]
    if "S3OutputPath" not in output and deployment.suite != SKIP:
        yield (
            "AsyncInferenceConfig.OutputConfig has no S3OutputPath, so the smoke test could not read responses. Add "
            "S3OutputPath."
        )
    for applies, model_kind, parameter in (
        (deployment.is_multi_model, "a multi-model endpoint", "TargetModel"),
        (deployment.mode == "Direct", "a pipeline in Direct mode", "TargetContainerHostname"),
    ):
        if applies:
            yield (
                f"AsyncInferenceConfig cannot be combined with {model_kind}: InvokeEndpointAsync has no parameter "
                f"{parameter}. Remove AsyncInferenceConfig."
            )


def _of_shadows(deployment: Deployment) -> Iterator[str]:
    shadows = deployment.config["ShadowProductionVariants"]
    if len(shadows) > 1 or len(deployment.variants) > 1:
        yield (
            f"EndpointConfig has {len(deployment.variants)} ProductionVariants and {len(shadows)} "
            "ShadowProductionVariants, but SageMaker accepts only one of each. Remove the others."
        )
    types = [name for variant in [*deployment.variants, *shadows] for name in guardrails.instance_types(variant)]
    for applies, feature in (
        (any("ServerlessConfig" in variant for variant in shadows), "a serverless shadow variant"),
        (is_asynchronous(deployment.config), "AsyncInferenceConfig"),
        (len(deployment.containers) > 1, "a pipeline of several containers"),
        (deployment.is_multi_model, "a multi-model endpoint"),
        (any(name.startswith("ml.inf1.") for name in types), "ml.inf1 instances"),
    ):
        if applies:
            yield (
                f"ShadowProductionVariants cannot be combined with {feature}: SageMaker excludes this from shadow "
                "tests. Remove one of them."
            )


def _of_deployment(deployment: Deployment) -> Iterator[str]:
    given = deployment.settings.get("DeploymentConfig", {})
    if not given:
        return
    if not deployment.is_component:
        yield from guardrails.refusals(given, deployment.fleet)
    names, of_deployment = alarms.names_of(deployment.endpoint), alarms.deployment_names_of(deployment.endpoint)
    own = {name for kind, name in names.items() if not (kind == "latency" and is_asynchronous(deployment.config))}
    made = own | (set() if deployment.is_component else {of_deployment[name] for name in own})
    named = guardrails.alarm_names(given)
    missing = [name for name in named if name not in deployment.alarms and name not in made]
    if missing:
        yield (
            f"DeploymentConfig names alarms that do not exist in this account and Region: {', '.join(missing)}. Create "
            f"them, or use the alarms that every promotion creates: {', '.join(sorted(own))}."
        )
    every = guardrails.alarm_names(deployment_config(deployment.settings, deployment.endpoint))
    if len(every) > MAXIMUM_ALARMS:
        yield (
            f"DeploymentConfig names {len(named)} alarms. With those that see only the new endpoint config "
            f"({', '.join(sorted(set(every) - set(named)))}), there are {len(every)}, but SageMaker accepts "
            f"{MAXIMUM_ALARMS}. Remove {len(every) - MAXIMUM_ALARMS} of them, or combine some in a composite alarm."
        )


def _of_live(deployment: Deployment) -> Iterator[str]:
    live, new = deployment.live, deployment.config
    if live is None:
        return
    yield from component_settings.conversion(deployment.endpoint, live, deployment.is_component)
    if not deployment.is_component:
        yield from endpoint_rules.conversion_refusals(deployment.endpoint, live, new)
    names = {variant["VariantName"] for variant in live["ProductionVariants"]}
    wanted = {variant.get("VariantName", VARIANT) for variant in new["ProductionVariants"]}
    if deployment.settings.get("DeploymentConfig") and names != wanted and not deployment.is_component:
        yield (
            f"The endpoint {deployment.endpoint} has the variants {', '.join(sorted(names))}, the settings have "
            f"{', '.join(sorted(wanted))}. Deployment guardrails require the same names. Remove DeploymentConfig for "
            "this promotion."
        )
