"""What a call needs: the actions, each on a resource, that the service authorization reference has for an operation.

https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html,
of each service the table of actions. S3, whose calls touch more than they name, is in `iam_s3`.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from moto.iam.models import iam_backends
from moto.kms.models import kms_backends
from moto.sagemaker.models import sagemaker_backends
from moto.sns.models import sns_backends
from moto.sqs.models import sqs_backends
from moto.ssm.models import ssm_backends

from embedded_aws.services.sagemaker import tags as sagemaker_tags


@dataclasses.dataclass(frozen=True)
class Need:
    """One action on one resource, and what is known for conditions beside what is known of every call.

    `resources` are the forms in which AWS's pages have the resource: it is enough to be allowed one of them.
    """

    action: str
    resources: tuple[str, ...]
    context: Mapping[str, str | list[str] | None] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Call:
    """A request, read by botocore's model of its service, as the caller's `account` sent it."""

    service: str
    operation: str
    parameters: dict[str, Any]
    account: str
    region: str

    def arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"


Needs = Iterator[Need]
_SAGEMAKER_KINDS = {
    "EndpointConfig": "endpoint-config",
    "Endpoint": "endpoint",
    "HyperParameterTuningJob": "hyper-parameter-tuning-job",
    "ModelPackageGroup": "model-package-group",
    "ModelPackage": "model-package",
    "Model": "model",
    "TrainingJob": "training-job",
}
# The service-linked role that scales endpoints, and for whom it is.
SCALING_SERVICE = "sagemaker.application-autoscaling.amazonaws.com"
SCALING_ROLE = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
_ITEM_ACTIONS = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
}


def of(call: Call) -> list[Need] | None:
    """None for an operation that nothing is known of."""
    finder = _FINDERS.get(call.service)
    found = list(finder(call)) if finder else []
    return found or (None if (call.service, call.operation) not in _FREE else [])


def tags(request: Mapping[str, Any]) -> dict[str, str | list[str] | None]:
    """The condition keys of the tags that a request brings."""
    given = {tag.get("Key", tag.get("key")): tag.get("Value", tag.get("value")) for tag in request.get("Tags") or []}
    return {"aws:tagkeys": list(given), **{f"aws:requesttag/{key}".lower(): value for key, value in given.items()}}


def key(
    action: str, key_id: str, account: str, region: str, via: str, context: Mapping[str, str] | None = None
) -> Need:
    """The use of a KMS key by a service for its caller: "AWS KMS condition keys" (conditions-kms)."""
    keys = {f"kms:encryptioncontext:{name}": value for name, value in (context or {}).items()}
    known = {"kms:viaservice": f"{via}.{region}.amazonaws.com", "kms:calleraccount": account, **keys}
    return Need(f"kms:{action}", (key_arn(key_id, account, region),), known)


def key_arn(key_id: str, account: str, region: str) -> str:
    """The ARN of a key that is named by its id, its ARN or one of its aliases."""
    if ":key/" in key_id:
        return key_id
    if key_id.startswith("arn:"):
        region, account, key_id = key_id.split(":", 5)[3:]
    if not key_id.startswith("alias/"):
        return f"arn:aws:kms:{region}:{account}:key/{key_id}"
    found = kms_backends[account][region].get_key_id_from_alias(key_id)
    return f"arn:aws:kms:{region}:{account}:key/{found or key_id}"


def pass_role(role_arn: Any, service: str, resource: str) -> Needs:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html"""
    if role_arn:
        context = {"iam:passedtoservice": service, "iam:associatedresourcearn": resource}
        yield Need("iam:PassRole", (str(role_arn),), context)


def _sagemaker(call: Call) -> Needs:
    request, operation = call.parameters, call.operation
    if operation in ("AddTags", "DeleteTags", "ListTags"):
        yield Need(f"sagemaker:{operation}", (request["ResourceArn"],), tags(request))
        return
    if operation.startswith("List"):
        yield Need(f"sagemaker:{operation}", ("*",))
        return
    kind = next((kind for kind in _SAGEMAKER_KINDS if operation.endswith(kind)), None)
    if operation.startswith("Invoke"):
        endpoint = call.arn("sagemaker", f"endpoint/{request['EndpointName'].lower()}")
        yield Need(f"sagemaker:{operation}", (endpoint,), {"sagemaker:targetmodel": request.get("TargetModel")})
    if kind is None or operation.removesuffix(kind) not in ("Create", "Delete", "Describe", "Stop", "Update"):
        return
    resource = _sagemaker_arn(call, kind)
    yield Need(f"sagemaker:{operation}", (resource,), tags(request) | _sagemaker_tags(call, resource))
    if operation in ("CreateEndpoint", "UpdateEndpoint"):
        # Both kinds of resource are required.
        name = request["EndpointConfigName"].lower()
        config = call.arn("sagemaker", f"endpoint-config/{name}")
        yield Need(f"sagemaker:{operation}", (config,), tags(request))
        found = sagemaker_backends[call.account][call.region].endpoint_configs.get(name)
        if found and "KmsKeyId" in found.request:
            # "Amazon SageMaker API permissions reference" (api-permissions-reference), CreateEndpoint.
            use = key("CreateGrant", found.request["KmsKeyId"], call.account, call.region, "sagemaker")
            yield dataclasses.replace(use, context={**use.context, "kms:grantisforawsresource": "true"})
    if operation.startswith("Create"):
        if request.get("Tags"):
            yield Need("sagemaker:AddTags", (resource,), tags(request))
        definitions = [request.get("TrainingJobDefinition"), *(request.get("TrainingJobDefinitions") or [])]
        roles = {request.get("ExecutionRoleArn"), request.get("RoleArn")}
        for role_arn in roles | {definition["RoleArn"] for definition in definitions if definition}:
            yield from pass_role(role_arn, "sagemaker.amazonaws.com", resource)


def _sagemaker_tags(call: Call, arn: str) -> dict[str, str | list[str] | None]:
    """The condition keys of the tags that the resource has: "aws:ResourceTag" of the reference's models, configs, …"""
    found = sagemaker_tags.of_resource(sagemaker_backends[call.account][call.region], arn)
    return {"aws:resourcetag/": None, **{f"aws:resourcetag/{key}".lower(): value for key, value in found.items()}}


def _sagemaker_arn(call: Call, kind: str) -> str:
    """Names are in lower case in SageMaker's ARNs, and so in policies."""
    name = str(call.parameters.get(f"{kind}Name") or call.parameters.get(f"{kind}Arn") or "")
    if kind == "ModelPackage" and not name:
        name = f"{call.parameters.get('ModelPackageGroupName', '')}/*"
    if name.startswith("arn:"):
        return name
    return call.arn("sagemaker", f"{_SAGEMAKER_KINDS[kind]}/{name.lower()}")


def _dynamodb(call: Call) -> Needs:
    request, operation = call.parameters, call.operation

    def table(name: str) -> str:
        return name if name.startswith("arn:") else call.arn("dynamodb", f"table/{name}")

    match operation:
        case "TransactWriteItems":
            for item in request["TransactItems"]:
                for kind, body in item.items():
                    yield Need(f"dynamodb:{_ITEM_ACTIONS[kind]}", (table(body["TableName"]),))
        case "TransactGetItems":
            for item in request["TransactItems"]:
                yield Need("dynamodb:GetItem", (table(item["Get"]["TableName"]),))
        case "BatchWriteItem" | "BatchGetItem":
            for name in request["RequestItems"]:
                yield Need(f"dynamodb:{operation}", (table(name),))
        case "GetItem" | "PutItem" | "UpdateItem" | "DeleteItem" | "DescribeTable":
            yield Need(f"dynamodb:{operation}", (table(request["TableName"]),))
        case "Query" | "Scan":
            index = f"/index/{request['IndexName']}" if request.get("IndexName") else ""
            yield Need(f"dynamodb:{operation}", (table(request["TableName"]) + index,))


def _ssm(call: Call) -> Needs:
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
    """The reference names the document and the execution; the messages of refusals name the automation definition."""
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


def _events(call: Call) -> Needs:
    if call.operation != "PutEvents":
        return
    for entry in call.parameters.get("Entries") or []:
        name = entry.get("EventBusName") or "default"
        bus = name if name.startswith("arn:") else call.arn("events", f"event-bus/{name}")
        context = {
            "events:source": entry.get("Source"),
            "events:detail-type": entry.get("DetailType"),
            "events:eventbusinvocation": "true" if call.parameters.get("forwarded") else "false",
        }
        yield Need("events:PutEvents", (bus,), context)


def _states(call: Call) -> Needs:
    request = call.parameters
    match call.operation:
        case "StartExecution" | "StartSyncExecution" | "ListExecutions" | "DescribeStateMachine":
            yield Need(
                f"states:{call.operation}", (request["stateMachineArn"],), {"states:statemachinequalifier": None}
            )
        case "DescribeExecution" | "StopExecution" | "GetExecutionHistory" | "RedriveExecution":
            yield Need(f"states:{call.operation}", (request["executionArn"],))
        case "SendTaskSuccess" | "SendTaskFailure" | "SendTaskHeartbeat" | "ListStateMachines":
            yield Need(f"states:{call.operation}", ("*",))


def _lambda(call: Call) -> Needs:
    if call.operation != "Invoke":
        return
    name, qualifier = call.parameters["FunctionName"], call.parameters.get("Qualifier")
    parts = name.split(":")
    if not name.startswith("arn:"):
        # A name, <account>:function:<name>, each with or without a version or alias.
        account = parts[0] if len(parts) > 2 else call.account
        resource = ":".join(parts[2:] if len(parts) > 2 else parts)
        name = f"arn:aws:lambda:{call.region}:{account}:function:{resource}"
    yield Need("lambda:InvokeFunction", (f"{name}:{qualifier}" if qualifier else name,))


def _sns(call: Call) -> Needs:
    if call.operation not in ("Publish", "PublishBatch"):
        return
    topic_arn = call.parameters.get("TopicArn") or call.parameters.get("TargetArn") or "*"
    yield Need("sns:Publish", (topic_arn,))
    if topic_arn == "*":
        return
    _, _, _, region, account, _ = topic_arn.split(":")
    topic = sns_backends[account][region].topics.get(topic_arn)
    if topic and topic.kms_master_key_id:
        # "Configuring SNS topic encryption with custom keys" (sns-enable-encryption-for-topic), "required permissions".
        for action in ("GenerateDataKey", "Decrypt"):
            yield key(action, topic.kms_master_key_id, account, region, "sns", {"aws:sns:topicarn": topic_arn})


def _sqs(call: Call) -> Needs:
    if "QueueUrl" not in call.parameters:
        return
    account, name = call.parameters["QueueUrl"].rstrip("/").split("/")[-2:]
    arn = f"arn:aws:sqs:{call.region}:{account}:{name}"
    action = {"SendMessageBatch": "SendMessage", "DeleteMessageBatch": "DeleteMessage"}.get(
        call.operation, call.operation
    )
    yield Need(f"sqs:{action}", (arn,), tags({}))
    queue = sqs_backends[account][call.region].queues.get(name)
    # "Key management" of the SQS developer guide (sqs-key-management): producers need both, consumers only the second.
    if queue and queue.kms_master_key_id and action in ("SendMessage", "ReceiveMessage"):
        for use in ("GenerateDataKey", "Decrypt") if action == "SendMessage" else ("Decrypt",):
            yield key(use, queue.kms_master_key_id, account, call.region, "sqs", {"aws:sqs:arn": arn})


def _sts(call: Call) -> Needs:
    if call.operation == "AssumeRole":
        context = {
            "sts:externalid": call.parameters.get("ExternalId"),
            "sts:rolesessionname": call.parameters.get("RoleSessionName"),
            "sts:sourceidentity": call.parameters.get("SourceIdentity"),
        }
        yield Need("sts:AssumeRole", (call.parameters["RoleArn"],), context)


def _logs(call: Call) -> Needs:
    group, stream = call.parameters.get("logGroupName", "*"), call.parameters.get("logStreamName", "")
    of_group, of_stream = (
        call.arn("logs", f"log-group:{group}"),
        call.arn("logs", f"log-group:{group}:log-stream:{stream}"),
    )
    match call.operation:
        # The reference has a group with and without a star behind it, and messages of refusals have the stream.
        case "CreateLogGroup" | "DescribeLogStreams" | "FilterLogEvents" | "DescribeLogGroups":
            yield Need(f"logs:{call.operation}", (of_group, of_stream), tags({}))
        case "CreateLogStream" | "PutLogEvents" | "GetLogEvents":
            yield Need(f"logs:{call.operation}", (of_stream, of_group))


def _monitoring(call: Call) -> Needs:
    match call.operation:
        case "PutMetricData":
            yield Need("cloudwatch:PutMetricData", ("*",), {"cloudwatch:namespace": call.parameters.get("Namespace")})
        case "PutMetricAlarm" | "SetAlarmState":
            yield Need(
                f"cloudwatch:{call.operation}", (call.arn("cloudwatch", f"alarm:{call.parameters['AlarmName']}"),)
            )
        case "DescribeAlarms":
            names = call.parameters.get("AlarmNames") or []
            for name in names:
                yield Need("cloudwatch:DescribeAlarms", (call.arn("cloudwatch", f"alarm:{name}"),))
            if not names:
                yield Need("cloudwatch:DescribeAlarms", ("*",))


def _application_autoscaling(call: Call) -> Needs:
    """The service names all targets alike, and checks what its caller may do to the variant itself.

    https://docs.aws.amazon.com/autoscaling/application/userguide/security_iam_permission_validation.html, with the
    actions of "Auto scaling prerequisites" in the SageMaker developer guide.
    """
    request, operation = call.parameters, call.operation
    if operation.startswith("Describe"):
        yield Need(f"application-autoscaling:{operation}", ("*",))
        return
    known = {
        "application-autoscaling:service-namespace": request["ServiceNamespace"],
        "application-autoscaling:scalable-dimension": request["ScalableDimension"],
    }
    yield Need(
        f"application-autoscaling:{operation}", (call.arn("application-autoscaling", "scalable-target/*"),), known
    )
    endpoint = call.arn("sagemaker", f"endpoint/{request['ResourceId'].split('/')[1].lower()}")
    if operation == "RegisterScalableTarget":
        if SCALING_ROLE not in {role.name for role in list(iam_backends[call.account]["aws"].roles.values())}:
            # "Service-linked roles for Application Auto Scaling" (application-auto-scaling-service-linked-roles).
            role = f"arn:aws:iam::{call.account}:role/aws-service-role/{SCALING_SERVICE}/{SCALING_ROLE}"
            yield Need("iam:CreateServiceLinkedRole", (role,), {"iam:awsservicename": SCALING_SERVICE})
        yield Need("sagemaker:DescribeEndpoint", (endpoint,))
        yield Need("sagemaker:UpdateEndpointWeightsAndCapacities", (endpoint,))
        yield Need("sagemaker:DescribeEndpointConfig", (call.arn("sagemaker", f"endpoint-config/{uuid.uuid4()}"),))
    if operation == "PutScalingPolicy":
        alarm = call.arn("cloudwatch", f"alarm:TargetTracking-{request['ResourceId']}-AlarmHigh")
        for action in ("PutMetricAlarm", "DeleteAlarms", "DescribeAlarms"):
            yield Need(f"cloudwatch:{action}", (alarm,))


def _ecr(call: Call) -> Needs:
    match call.operation:
        case "GetAuthorizationToken" | "PutRegistryPolicy" | "GetRegistryPolicy" | "DeleteRegistryPolicy":
            yield Need(f"ecr:{call.operation}", ("*",))
        case (
            "BatchGetImage"
            | "BatchCheckLayerAvailability"
            | "GetDownloadUrlForLayer"
            | "DescribeImages"
            | "InitiateLayerUpload"
            | "UploadLayerPart"
            | "CompleteLayerUpload"
            | "PutImage"
            | "CreateRepository"
            | "DeleteRepository"
            | "SetRepositoryPolicy"
        ):
            registry = call.parameters.get("registryId") or call.account
            repository = f"arn:aws:ecr:{call.region}:{registry}:repository/{call.parameters['repositoryName']}"
            yield Need(f"ecr:{call.operation}", (repository,))


def _kms(call: Call) -> Needs:
    match call.operation:
        case "Decrypt" | "Encrypt" | "GenerateDataKey" | "DescribeKey":
            if key_id := call.parameters.get("KeyId"):
                context = {"kms:viaservice": None, "kms:calleraccount": call.account}
                yield Need(f"kms:{call.operation}", (key_arn(key_id, call.account, call.region),), context)


_FINDERS: dict[str, Callable[[Call], Needs]] = {
    "sagemaker": _sagemaker,
    "dynamodb": _dynamodb,
    "ssm": _ssm,
    "events": _events,
    "states": _states,
    "lambda": _lambda,
    "sns": _sns,
    "sqs": _sqs,
    "sts": _sts,
    "logs": _logs,
    "monitoring": _monitoring,
    "application-autoscaling": _application_autoscaling,
    "ecr": _ecr,
    "kms": _kms,
}
# "No permissions are required to perform this operation" (API_GetCallerIdentity); a call without entries does nothing.
_FREE = {("sts", "GetCallerIdentity"), ("events", "PutEvents")}
