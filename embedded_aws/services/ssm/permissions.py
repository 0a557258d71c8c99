"""The required permissions of Systems Manager's operations."""

from __future__ import annotations

from moto.ssm.models import ssm_backends

from embedded_aws.iam.permissions import Call, Need, Needs, Permissions, pass_role, tags


def _required(call: Call) -> Needs:
    request, operation = call.parameters, call.operation

    def parameter(name: str) -> str:
        return name if name.startswith("arn:") else call.arn("ssm", f"parameter/{name.removeprefix('/')}")

    execution = call.arn("ssm", f"automation-execution/{request.get('AutomationExecutionId', '*')}")
    match operation:
        case "GetParameter" | "PutParameter" | "DeleteParameter":
            yield Need(f"ssm:{operation}", (parameter(request["Name"]),), tags(request))
        case "GetParameters" | "DeleteParameters":
            for name in request["Names"]:
                yield Need(f"ssm:{operation}", (parameter(name),))
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
            yield Need(f"ssm:{operation}", (execution,))
        case "DescribeAutomationExecutions" | "DescribeParameters":
            yield Need(f"ssm:{operation}", ("*",))


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
