"""People with the managed policies of people.yaml do their own part, and never that of others."""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws.aws import EmbeddedAws
from embedded_aws.iam import clients, decisions
from embedded_aws.iam.permissions import Need
from embedded_aws.kernel.accounts import REGION
from embedded_aws.services.cloudformation.deploy import deploy
from sandbox.stacks import ROOT
from tests.permissions.effects import serving_role
from tests.support.approvals import automation_ended, waiting_approval
from tests.support.mail import mail
from tests.support.people import Person
from tests.support.waiting import wait_until
from tests.support.world import PRODUCTION, Lab, Stage

# The bucket of SAM CLI, and its stack.
SAM = "aws-sam-cli-managed-default"


def is_denied(call: Callable[..., Any], **request: Any) -> bool:
    """Return whether IAM denies a call. Raise any other error."""
    try:
        call(**request)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("AccessDenied", "AccessDeniedException"):
            raise
        return True
    return False


@pytest.fixture
def viewer(production: Stage, application: str) -> Person:
    return Person(production, f"{application}-viewer", "viewer")


@pytest.fixture
def operator(production: Stage, application: str) -> Person:
    return Person(production, f"{application}-operator", "viewer", "operator")


@pytest.fixture
def platform(production: Stage, application: str) -> Person:
    return Person(production, f"{application}-platform", "viewer", "platform")


@pytest.fixture
def approver(production: Stage, application: str) -> Person:
    """Return an approver whom the stage names, besides its operator.

    It stays one: Systems Manager accepts no content of a document that an earlier version has.
    """
    person = Person(production, f"{application}-approver", "viewer", "approver")
    deploy(
        template=ROOT / "template.yaml",
        stack_name=production.stack,
        account=production.account,
        parameters={"Approvers": f"arn:aws:iam::{PRODUCTION}:user/operator,{person.role_arn}"},
    )
    return person


def start(person: Person, stage: Stage, given: dict[str, Any]) -> str:
    started = person.client("stepfunctions").start_execution(
        stateMachineArn=stage.state_machine, input=json.dumps(given)
    )
    return str(started["executionArn"])


def press(person: Person, button: str, **fields: str) -> str:
    """Start a runbook for operators as its form does, and return the ID of its Automation execution."""
    parameters = {name: [value] for name, value in fields.items()}
    runbook = {"DocumentName": f"model-promotion-production-{button}", "Parameters": parameters}
    return str(person.client("ssm").start_automation_execution(**runbook)["AutomationExecutionId"])


def settings_of(stage: Stage, application: str) -> dict[str, Any]:
    name = f"/model-promotion/{stage.name}/{application}"
    return {"Name": name, "Type": "String", "Value": '{"Retention": {"Keep": 3}}', "Overwrite": True}


def test_an_operator_configures_and_previews_and_an_approver_approves(
    lab: Lab,
    qa: Stage,
    production: Stage,
    operator: Person,
    approver: Person,
    application: str,
    stacks: EmbeddedAws,
) -> None:
    operator.client("ssm").put_parameter(**settings_of(production, application))
    in_qa = qa.execution_of(lab.train(application, "good")).output
    model = {"SourceKind": "model", "SourceName": in_qa["model_name"]}
    preview = press(operator, "preview", **model, Application=application)
    assert automation_ended(production, preview) == "Success"
    shown = operator.client("ssm").get_automation_execution(AutomationExecutionId=preview)["AutomationExecution"]
    assert json.loads(shown["Outputs"]["Run.output"][0])["outcome"] == "preview"
    (text,) = shown["Outputs"]["Show.Text"]
    assert text.startswith(
        f"## Would be approval requested\n\n- The endpoint {application}-production would be updated"
    )
    missing = press(operator, "preview", SourceKind="model", SourceName="nothing", Application=application)
    assert automation_ended(production, missing) == "Success"
    shown = operator.client("ssm").get_automation_execution(AutomationExecutionId=missing)["AutomationExecution"]
    assert "The model nothing does not exist" in shown["Outputs"]["Show.Text"][0]

    waiting = waiting_approval(production, application)["AutomationExecutionId"]
    decision = {"AutomationExecutionId": waiting, "SignalType": "Approve", "Payload": {"Comment": ["fine"]}}
    assert is_denied(operator.client("ssm").send_automation_signal, **decision)
    shown = approver.client("ssm").get_automation_execution(AutomationExecutionId=waiting)["AutomationExecution"]
    requested_by = shown["Parameters"]["RequestedBy"][0]
    assert approver.client("stepfunctions").describe_execution(executionArn=requested_by)["status"] == "SUCCEEDED"
    approver.client("ssm").send_automation_signal(**decision)

    promoted = production.execution_of(waiting)
    assert promoted.status == "SUCCEEDED", promoted.cause
    assert f"{application}-approver" in promoted.output["approved_by"]
    assert production.answer(application) == {"label": "good"}
    # There is nothing to roll back to or to recover.
    for button, ended in (("roll-back", "Failed"), ("recover", "Success")):
        assert automation_ended(production, press(operator, button, Endpoint=f"{application}-production")) == ended
    # The person who starts a promotion is named to those who approve it.
    assert automation_ended(production, press(operator, "promote", **model)) == "Success"
    waiting = waiting_approval(production, application)["AutomationExecutionId"]
    assert f"{application}-operator/" in mail(stacks, "approval requested", waiting, "Started by")
    production.client("ssm").stop_automation_execution(AutomationExecutionId=waiting, Type="Cancel")


def test_an_operator_stops_an_execution_resets_settings_and_reads_dead_letters(
    production: Stage, operator: Person, application: str
) -> None:
    execution = start(operator, production, {"training_job": f"{application}-missing"})
    operator.client("stepfunctions").stop_execution(executionArn=execution)
    assert production.ended(execution).status in ("ABORTED", "FAILED")

    parameter = settings_of(production, application)
    operator.client("ssm").put_parameter(**parameter)
    operator.client("ssm").delete_parameter(Name=parameter["Name"])
    assert not production.client("ssm").get_parameters(Names=[parameter["Name"]])["Parameters"]

    queue = {"QueueUrl": production.physical_id("DeadLetters")}
    production.client("sqs").send_message(**queue, MessageBody=application)

    def find() -> dict[str, Any] | None:
        # Other tests may leave messages in the queue, too.
        received = operator.client("sqs").receive_message(**queue, MaxNumberOfMessages=10, VisibilityTimeout=1)
        return next((each for each in received.get("Messages", []) if each["Body"] == application), None)

    found = wait_until(find, "the message")
    operator.client("sqs").delete_message(**queue, ReceiptHandle=found["ReceiptHandle"])


def test_an_approver_neither_starts_nor_configures(production: Stage, approver: Person, application: str) -> None:
    started = {"stateMachineArn": production.state_machine, "input": "{}"}

    assert is_denied(approver.client("stepfunctions").start_execution, **started)
    assert is_denied(approver.client("ssm").put_parameter, **settings_of(production, application))
    assert is_denied(press, person=approver, button="recover", Endpoint=f"{application}-production")
    assert is_denied(
        approver.client("ssm").start_automation_execution, DocumentName=f"model-promotion-{production.name}"
    )
    # Only approvals that the stage has requested have its tag.
    other = {"AutomationExecutionId": str(uuid.uuid4()), "SignalType": "Approve"}
    assert is_denied(approver.client("ssm").send_automation_signal, **other)


def test_a_viewer_sees_everything_and_changes_nothing(
    lab: Lab, qa: Stage, production: Stage, viewer: Person, application: str
) -> None:
    in_qa = qa.execution_of(lab.train(application, "good")).output
    waiting = waiting_approval(production, application)
    requested_by = waiting["Parameters"]["RequestedBy"][0]
    production.client("ssm").put_parameter(**settings_of(production, application))
    states, ssm, sagemaker = (viewer.client(service) for service in ("stepfunctions", "ssm", "sagemaker"))
    table = viewer.client("cloudformation").describe_stack_resource(
        StackName=production.stack, LogicalResourceId="PromotionTable"
    )["StackResourceDetail"]["PhysicalResourceId"]
    settings = {"Name": f"/model-promotion/production/{application}"}

    assert states.list_state_machines()["stateMachines"]
    assert states.list_executions(stateMachineArn=production.state_machine)["executions"]
    assert states.describe_state_machine(stateMachineArn=production.state_machine)["name"] == production.stack
    assert states.get_execution_history(executionArn=requested_by)["events"]
    assert in_qa["model_name"] in states.describe_execution(executionArn=requested_by)["input"]
    assert ssm.describe_automation_executions()["AutomationExecutionMetadataList"]
    execution = {"AutomationExecutionId": waiting["AutomationExecutionId"]}
    assert ssm.describe_automation_step_executions(**execution)["StepExecutions"]
    assert ssm.get_parameter(**settings)["Parameter"]["Value"]
    assert ssm.get_parameter_history(**settings)["Parameters"]
    assert "Endpoints" in sagemaker.list_endpoints()
    describes: dict[str, Callable[..., Any]] = {
        "Endpoint": sagemaker.describe_endpoint,
        "EndpointConfig": sagemaker.describe_endpoint_config,
        "Model": sagemaker.describe_model,
    }
    place = f"arn:aws:sagemaker:{REGION}:{PRODUCTION}"
    for kind, describe in describes.items():
        name = f"{application}-production" + ("" if kind == "Endpoint" else "-20260101-0000-0a1b2c3d")
        with pytest.raises(ClientError, match="Could not find"):
            describe(**{f"{kind}Name": name})
        resource = {"Endpoint": "endpoint", "EndpointConfig": "endpoint-config", "Model": "model"}[kind]
        with pytest.raises(ClientError, match="Could not find"):
            sagemaker.list_tags(ResourceArn=f"{place}:{resource}/{name}")
    key = {":kind": {"S": "approval"}}
    query = {"KeyConditionExpression": "kind = :kind", "ExpressionAttributeValues": key, "ConsistentRead": True}
    assert viewer.client("dynamodb").query(TableName=table, **query)["Items"]
    assert "MetricAlarms" in viewer.client("cloudwatch").describe_alarms()
    dashboard = viewer.client("cloudwatch").get_dashboard(DashboardName="model-promotion-production")
    overview, alarms, *_ = json.loads(dashboard["DashboardBody"])["widgets"]
    assert len(set(alarms["properties"]["alarms"])) == 6
    shown = viewer.client("lambda").invoke(FunctionName=overview["properties"]["endpoint"], Payload=b"{}")
    assert f"| {application} | [approval requested](https://" in json.load(shown["Payload"])["markdown"]
    assert viewer.client("cloudformation").describe_stacks(StackName=production.stack)["Stacks"]
    key_of_item = {"kind": {"S": "live"}, "key": {"S": f"{application}-production"}}
    assert "Item" not in viewer.client("dynamodb").get_item(TableName=table, Key=key_of_item)
    for group in (
        "/model-promotion/production/functions",
        "/aws/vendedlogs/states/model-promotion-production",
        f"/aws/sagemaker/Endpoints/{application}-production",
        f"/aws/sagemaker/InferenceComponents/{application}-production",
    ):
        production.client("logs").create_log_group(logGroupName=group) if application in group else None
        assert "events" in viewer.client("logs").filter_log_events(logGroupName=group)
    logs = viewer.client("logs")
    saved = logs.describe_query_definitions(queryDefinitionNamePrefix="model-promotion-production/")["queryDefinitions"]
    assert {group for query in saved for group in query["logGroupNames"]} == {"/model-promotion/production/functions"}
    period = {"startTime": 0, "endTime": int(datetime.datetime.now(datetime.UTC).timestamp())}
    query = logs.start_query(logGroupNames=saved[0]["logGroupNames"], queryString="fields @message | limit 1", **period)
    assert logs.get_query_results(queryId=query["queryId"])["status"] == "Complete"

    assert is_denied(states.start_execution, stateMachineArn=production.state_machine, input="{}")
    assert is_denied(states.stop_execution, executionArn=requested_by)
    assert is_denied(ssm.put_parameter, **settings_of(production, application))
    assert is_denied(ssm.send_automation_signal, **execution, SignalType="Approve")


def test_who_operates_and_approves_can_do_neither(production: Stage, application: str) -> None:
    both = Person(production, f"{application}-both", "viewer", "operator", "approver", is_administrator=True)
    started = {"stateMachineArn": production.state_machine, "input": "{}"}
    decision = {"AutomationExecutionId": str(uuid.uuid4()), "SignalType": "Approve"}

    assert is_denied(both.client("stepfunctions").start_execution, **started)
    assert is_denied(both.client("ssm").put_parameter, **settings_of(production, application))
    assert is_denied(both.client("ssm").send_automation_signal, **decision)


def test_not_even_an_administrator_who_views_the_stage_changes_it_directly(production: Stage, application: str) -> None:
    person = Person(production, f"{application}-administrator", "viewer", is_administrator=True)
    item = {"kind": {"S": "live"}, "key": {"S": f"{application}-production"}}
    artifact = {"Bucket": production.bucket, "Key": f"models/{application}/model.tar.gz"}
    config = {"EndpointName": f"{application}-production", "EndpointConfigName": f"{application}-production-x"}
    serving = serving_role(production)
    model = {"ModelName": application, "PrimaryContainer": {"Image": "echo"}, "ExecutionRoleArn": serving}
    function = production.physical_id("UpdateEndpointFunction")
    bus = {"Source": "model-promotion", "DetailType": "x", "Detail": "{}", "EventBusName": "model-promotion-production"}

    assert is_denied(person.client("dynamodb").put_item, TableName=production.table, Item=item)
    assert is_denied(person.client("s3").put_object, **artifact, Body=b"forged", IfNoneMatch="*")
    assert is_denied(person.client("s3").delete_object, **artifact)
    assert is_denied(person.client("sagemaker").create_endpoint, **config)
    assert is_denied(person.client("sagemaker").update_endpoint, **config)
    assert is_denied(person.client("sagemaker").create_model, **model)
    assert is_denied(person.client("lambda").invoke, FunctionName=function, Payload=b"{}")
    assert is_denied(person.client("events").put_events, Entries=[bus])
    assert is_denied(person.client("sts").assume_role, RoleArn=serving, RoleSessionName="person")
    # The embedded AWS has none of these operations.
    states, functions = f"arn:aws:states:{REGION}:{PRODUCTION}", f"arn:aws:lambda:{REGION}:{PRODUCTION}:function"
    for action, resource in (
        ("states:UpdateStateMachine", production.state_machine),
        ("states:RedriveExecution", f"{states}:execution:model-promotion-production:{uuid.uuid4()}"),
        ("lambda:UpdateFunctionCode", f"{functions}:{function}"),
        ("ssm:UpdateDocument", f"arn:aws:ssm:{REGION}:{PRODUCTION}:document/model-promotion-production"),
        ("iam:PutRolePolicy", serving),
    ):
        assert not may(person, action, resource), action
        assert may(person, action, resource.replace("production", "another")), action


def may(person: Person, action: str, resource: str, **context: str) -> bool:
    """Return whether IAM allows an action."""
    caller = clients.Caller(PRODUCTION, person.role_arn, person.role_arn)
    keys = {name.replace("_", ":"): value for name, value in context.items()}
    return decisions.decide(caller, Need(action, (resource,), keys), {}).allowed


def test_the_platform_deploys_only_with_the_deployment_role(
    production: Stage, platform: Person, application: str
) -> None:
    stack = production.client("cloudformation").describe_stacks(StackName=production.stack)["Stacks"][0]["StackId"]
    deployment = f"arn:aws:iam::{PRODUCTION}:role/deployment"

    upstream = stack.replace("model-promotion-production", "model-promotion-upstream-of-later")
    for action in (
        "DescribeChangeSet",
        "DeleteChangeSet",
        "DescribeStacks",
        "DescribeStackEvents",
        "GetTemplateSummary",
    ):
        assert may(platform, f"cloudformation:{action}", upstream)
    sam = f"arn:aws:cloudformation:{REGION}:aws:transform/Serverless-2016-10-31"
    assert may(platform, "cloudformation:CreateChangeSet", sam)
    assert may(platform, "cloudformation:DescribeStacks", upstream.replace(upstream.split("/")[1], SAM))
    code = {"Bucket": f"{SAM}-{PRODUCTION}", "Key": application}
    platform.client("s3").put_object(**code, Body=b"code")
    assert platform.client("s3").get_object(**code)["Body"].read() == b"code"
    for action in ("cloudformation:CreateChangeSet", "cloudformation:ExecuteChangeSet"):
        assert may(platform, action, stack, cloudformation_rolearn=deployment)
        assert not may(platform, action, stack.replace("model-promotion", "another"), cloudformation_rolearn=deployment)
    assert may(platform, "iam:PassRole", deployment, iam_passedtoservice="cloudformation.amazonaws.com")
    assert not may(platform, "iam:PassRole", deployment, iam_passedtoservice="lambda.amazonaws.com")
    assert not may(platform, "iam:PassRole", f"{deployment}2", iam_passedtoservice="cloudformation.amazonaws.com")
    assert platform.client("cloudformation").describe_stacks(StackName=production.stack)["Stacks"]
    assert is_denied(platform.client("ssm").put_parameter, **settings_of(production, application))
    started = {"stateMachineArn": production.state_machine, "input": "{}"}
    assert is_denied(platform.client("stepfunctions").start_execution, **started)
    decision = {"AutomationExecutionId": str(uuid.uuid4()), "SignalType": "Approve"}
    assert is_denied(platform.client("ssm").send_automation_signal, **decision)
