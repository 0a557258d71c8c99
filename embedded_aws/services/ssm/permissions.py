"""The required permissions of Systems Manager's operations."""

from __future__ import annotations

from moto.ssm.models import ssm_backends

from embedded_aws.iam.permissions import Call, Need, Needs, Permissions, key, pass_role, tags
from embedded_aws.services.ssm import api


def _required(call: Call) -> Needs:
    request, operation = call.parameters, call.operation

    def parameter(name: str) -> str:
        return name if name.startswith("arn:") else call.arn("ssm", f"parameter/{name.removeprefix('/')}")

    execution = call.arn("ssm", f"automation-execution/{request.get('AutomationExecutionId', '*')}")
    match operation:
        case "GetParameter" | "GetParameterHistory" | "PutParameter" | "DeleteParameter":
            yield Need(f"ssm:{operation}", (parameter(request["Name"]),), tags(request))
            yield from _encryption(call, request["Name"], parameter(request["Name"]))
        case "GetParameters" | "DeleteParameters":
            for name in request["Names"]:
                yield Need(f"ssm:{operation}", (parameter(name),))
                yield from _encryption(call, name, parameter(name))
        case "GetParametersByPath":
            yield Need(f"ssm:{operation}", (parameter(request["Path"]),))
        case "StartAutomationExecution":
            yield from _start_automation(call, execution)
        case (
            "GetAutomationExecution"
            | "SendAutomationSignal"
            | "StopAutomationExecution"
            | "DescribeAutomationStepExecutions"
        ):
            yield Need(f"ssm:{operation}", (execution,), _resource_tags(request["AutomationExecutionId"]))
        case "DescribeAutomationExecutions" | "DescribeParameters":
            yield Need(f"ssm:{operation}", ("*",))


def _encryption(call: Call, name: str, arn: str) -> Needs:
    """Yield the permission to use the key of a SecureString, which Systems Manager uses for the caller.

    The ARN of the parameter is the encryption context: Systems Manager user guide, "AWS KMS encryption for AWS Systems
    Manager Parameter Store SecureString parameters".
    """
    stored = ssm_backends[call.account][call.region]._parameters.get(name)
    before, request = stored[-1] if stored else None, call.parameters
    kind = request.get("Type") or getattr(before, "parameter_type", None)
    key_id = request.get("KeyId") or getattr(before, "keyid", None) or "alias/aws/ssm"
    if kind != "SecureString":
        return
    context = {"parameter_arn": arn}
    if call.operation == "PutParameter":
        # With a data key of its own, an advanced parameter can have more than the 4 KB that KMS encrypts.
        action = "GenerateDataKey" if request.get("Tier") == "Advanced" else "Encrypt"
        yield key(action, key_id, call.account, call.region, "ssm", context)
    elif request.get("WithDecryption"):
        # A request for another key than the stored one only has a meaning in PutParameter.
        yield key("Decrypt", getattr(before, "keyid", key_id), call.account, call.region, "ssm", context)


def _resource_tags(execution_id: str) -> dict[str, str | list[str] | None]:
    """Return the aws:ResourceTag condition keys of an automation."""
    values = api.tags_of(execution_id)
    return {"aws:resourcetag/": None, **{f"aws:resourcetag/{key}".lower(): value for key, value in values.items()}}


def _start_automation(call: Call, execution: str) -> Needs:
    """Yield the permissions of StartAutomationExecution.

    The service authorization reference names the document and the execution as resources; AWS's error messages name
    the automation definition.
    """
    name = call.parameters["DocumentName"].split(":document/")[-1]
    version = call.parameters.get("DocumentVersion") or "$DEFAULT"
    forms = (call.arn("ssm", f"automation-definition/{name}:{version}"), call.arn("ssm", f"document/{name}"))
    known = {"ssm:documentversion": version, **tags(call.parameters)}
    yield Need("ssm:StartAutomationExecution", forms, known)
    yield Need("ssm:StartAutomationExecution", (execution,), known)
    if call.parameters.get("Tags"):
        # Assumed: "AddTagsToResource" grants tags of automations, and no page says whether a start requires it.
        yield Need("ssm:AddTagsToResource", (execution,), known)
    documents = ssm_backends[call.account][call.region]._documents.get(name)
    document = documents.find("" if version == "$DEFAULT" else version, strict=False) if documents else None
    content = document.content_json if document else {}
    role = str(content.get("assumeRole") or "")
    if role.startswith("{{"):
        parameter = role.strip("{} ")
        default = content.get("parameters", {}).get(parameter, {}).get("default", "")
        role = "".join((call.parameters.get("Parameters") or {}).get(parameter, [default]))
    yield from pass_role(role, "ssm.amazonaws.com", execution)


PERMISSIONS = {"ssm": Permissions(_required)}
