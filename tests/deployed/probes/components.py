"""SageMaker inference components: their statuses, messages and refusals, on one endpoint that the probes share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from tests.deployed.account import Account
from tests.deployed.hosting import Hosting
from tests.deployed.instrument import probe
from tests.deployed.prices import Cost

# Components are not documented for instances as small as those of the other probes.
_INSTANCE = "ml.m5.large"


def _hours(hours: float) -> list[Cost]:
    """Return the cost of an instance for so many hours."""
    return [Cost(f"endpoint instance {_INSTANCE}", hours)]


def _hosting(account: Account) -> Hosting:
    """Return the account's hosting with an endpoint, "host", that hosts the component "first" with the model "one"."""
    if "hosting" not in account.shared:
        hosting = account.shared["hosting"] = Hosting(account)
        account.shared["one"], account.shared["two"] = hosting.model("ic-one"), hosting.model("ic-two")
        config = account.shared["config"] = _host_config(hosting)
        account.shared["host"] = hosting.endpoint("host", config)
        _create(hosting, "first")
        _settled(hosting, "first")
    found: Hosting = account.shared["hosting"]
    return found


def _host_config(hosting: Hosting) -> str:
    """Create a config without models, and return its name."""
    name = hosting.account.name("host")
    hosting.account.ledger.add("sagemaker", "delete_endpoint_config", EndpointConfigName=name)
    variant = {"VariantName": "A", "InstanceType": _INSTANCE, "InitialInstanceCount": 1}
    hosting.sagemaker.create_endpoint_config(
        EndpointConfigName=name, ExecutionRoleArn=hosting.role, ProductionVariants=[variant]
    )
    return name


def _specification(model: str) -> dict[str, Any]:
    """Return a specification that leaves room for the old and the new copy during an update."""
    needs = {"NumberOfCpuCoresRequired": 0.5, "MinMemoryRequiredInMb": 1024}
    return {"ModelName": model, "ComputeResourceRequirements": needs}


def _create(hosting: Hosting, label: str) -> None:
    account, name = hosting.account, hosting.account.name(label)
    account.ledger.add("logs", "delete_log_group", logGroupName=f"/aws/sagemaker/InferenceComponents/{name}")
    account.ledger.add("sagemaker", "delete_inference_component", InferenceComponentName=name)
    hosting.sagemaker.create_inference_component(
        InferenceComponentName=name,
        EndpointName=account.shared["host"],
        VariantName="A",
        Specification=_specification(account.shared["one"]),
        RuntimeConfig={"CopyCount": 1},
    )


def _describe(hosting: Hosting, label: str) -> dict[str, Any]:
    return dict(hosting.sagemaker.describe_inference_component(InferenceComponentName=hosting.account.name(label)))


def _settled(hosting: Hosting, label: str) -> dict[str, Any]:
    def poll() -> dict[str, Any] | None:
        found = _describe(hosting, label)
        return None if found["InferenceComponentStatus"].endswith("ing") else found

    return hosting.account.wait(poll, f"the component {label}", 3600)


def _refusal(call: Callable[[], Any], words: int) -> str:
    """Return the code and the first words of a call's error, or "accepted"."""
    try:
        call()
    except ClientError as error:
        found = error.response["Error"]
        return f"{found['Code']}: {' '.join(found['Message'].split()[:words])}"
    return "accepted"


@probe(
    "SageMaker refuses a second component of the same name, and one that does not exist, with the words that it uses "
    "for endpoints",
    documented="assumed: functions/promotion/aws/aws_errors.py",
    believed="ValidationException: Cannot create already existing; ValidationException: Could not find",
    costs=_hours(0.3),
)
def the_words_about_a_component(account: Account) -> str:
    """Create the same component again, and describe one that does not exist."""
    hosting = _hosting(account)
    missing = account.name("missing")
    return "; ".join(
        (
            _refusal(lambda: _create(hosting, "first"), 4),
            _refusal(lambda: hosting.sagemaker.describe_inference_component(InferenceComponentName=missing), 3),
        )
    )


@probe(
    "As soon as UpdateInferenceComponent has returned, the component is Updating with its previous specification, and "
    "refuses another update as an endpoint does; it ends InService with the new specification",
    documented="assumed: functions/promotion/endpoint/component.py",
    believed="Updating, previous model; ValidationException: Cannot update in-progress; InService, new model",
    costs=_hours(0.2),
)
def an_update_of_a_component(account: Account) -> str:
    """Update the component to another model, and describe it before and after the end of the update."""
    hosting = _hosting(account)
    names = {account.shared["one"]: "previous model", account.shared["two"]: "new model"}

    def update() -> None:
        hosting.sagemaker.update_inference_component(
            InferenceComponentName=account.name("first"), Specification=_specification(account.shared["two"])
        )

    def shown(found: dict[str, Any]) -> str:
        return f"{found['InferenceComponentStatus']}, {names[found['Specification']['ModelName']]}"

    update()
    at_once = shown(_describe(hosting, "first"))
    again = _refusal(update, 3)
    return "; ".join((at_once, again, shown(_settled(hosting, "first"))))


@probe(
    "A component whose new model does not start is InService again with the previous specification and a FailureReason",
    documented="assumed: functions/promotion/endpoint/component.py",
    believed="InService, the model of before, with a reason",
    costs=_hours(0.5),
)
def an_update_that_fails(account: Account) -> str:
    """Update the component to a model whose script cannot be loaded."""
    hosting = _hosting(account)
    before = _describe(hosting, "first")["Specification"]["ModelName"]
    broken = hosting.model("ic-broken", b"no archive")
    hosting.sagemaker.update_inference_component(
        InferenceComponentName=account.name("first"), Specification=_specification(broken)
    )
    found = _settled(hosting, "first")
    model = "the model of before" if found["Specification"]["ModelName"] == before else "another model"
    reason = "with a reason" if found.get("FailureReason") else "without a reason"
    return f"{found['InferenceComponentStatus']}, {model}, {reason}"


@probe(
    "An endpoint that hosts components can be neither deleted nor updated to a config with a model, and a component "
    "without copies answers nothing",
    documented="https://github.com/aws/amazon-sagemaker-feedback/issues/49; the rest is assumed: "
    "functions/promotion/plan/compatibility.py",
    believed="ValidationException; ValidationException; ValidationError",
    costs=_hours(0.2),
)
def the_limits_of_a_host(account: Account) -> str:
    """Try the two changes of the endpoint, and invoke the component after its last copy was removed."""
    hosting, host = _hosting(account), account.shared["host"]
    with_model = hosting.config("ic-model", {"A": 1}, account.shared["one"])
    runtime = account.client("sagemaker-runtime")
    hosting.sagemaker.update_inference_component_runtime_config(
        InferenceComponentName=account.name("first"), DesiredRuntimeConfig={"CopyCount": 0}
    )
    _settled(hosting, "first")
    calls: tuple[Callable[[], Any], ...] = (
        lambda: hosting.sagemaker.delete_endpoint(EndpointName=host),
        lambda: hosting.sagemaker.update_endpoint(EndpointName=host, EndpointConfigName=with_model),
        lambda: runtime.invoke_endpoint(
            EndpointName=host, InferenceComponentName=account.name("first"), Body=b"{}", ContentType="application/json"
        ),
    )
    return "; ".join(_refusal(call, 0).rstrip(": ") for call in calls)
