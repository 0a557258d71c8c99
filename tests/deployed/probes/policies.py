"""IAM: which permissions and which resources a call requires where AWS's documentation does not say so."""

from __future__ import annotations

from tests.deployed.account import Account, allow, document, error_of
from tests.deployed.instrument import probe
from tests.deployed.prices import Cost

_TABLE = {
    "AttributeDefinitions": [{"AttributeName": "kind", "AttributeType": "S"}],
    "KeySchema": [{"AttributeName": "kind", "KeyType": "HASH"}],
    "BillingMode": "PAY_PER_REQUEST",
}


def make_table(account: Account, label: str) -> str:
    """Create a table with the partition key `kind`, and return its name."""
    name, dynamodb = account.name(label), account.client("dynamodb")
    account.ledger.add("dynamodb", "delete_table", TableName=name)
    dynamodb.create_table(TableName=name, **_TABLE)
    dynamodb.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})
    return name


@probe(
    "IAM compares dynamodb:LeadingKeys with the key of one item for each action of TransactWriteItems, so that a "
    "transaction with an item of another partition is denied",
    documented="assumed: embedded_aws/services/dynamodb.py",
    believed="own items accepted, one of another partition AccessDeniedException",
    costs=[Cost("DynamoDB write request unit", 10)],
)
def leading_keys_of_a_transaction(account: Account) -> str:
    """Write two items in a transaction with permission for one partition key."""
    table = make_table(account, "keys")
    condition = {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["own", "own2"]}}
    arn = account.arn("dynamodb", f"table/{table}")
    role = account.role("keys", [allow("dynamodb:PutItem", arn, Condition=condition)])
    client = account.client("dynamodb", account.session_of(role))

    def write(*kinds: str) -> None:
        client.transact_write_items(
            TransactItems=[{"Put": {"TableName": table, "Item": {"kind": {"S": kind}}}} for kind in kinds]
        )

    account.settling(lambda: write("own"), "AccessDenied")
    own, other = error_of(lambda: write("own", "own2")), error_of(lambda: write("own", "other"))
    return f"own items {own}, one of another partition {other}"


@probe(
    "IAM treats the name of a role that does not exist as that of a role without a path",
    documented="assumed: embedded_aws/services/iam.py",
    believed="with permission for the path AccessDenied, for all names NoSuchEntity",
)
def a_missing_role_has_no_path(account: Account) -> str:
    """Call GetRole for a role that does not exist, with permission for a path only."""
    missing = account.name("missing")
    roles = f"arn:{account.partition}:iam::{account.number}:role"
    role = account.role("path", [allow("iam:GetRole", f"{roles}/*")])

    def read(resource: str) -> str:
        client = account.client("iam", account.session_of(role, allow("iam:GetRole", resource)))
        return error_of(lambda: client.get_role(RoleName=missing))

    everything = account.wait(lambda: None if (says := read(f"{roles}/*")) == "AccessDenied" else says, "IAM", 90)
    return f"with permission for the path {read(f'{roles}/model-promotion/*')}, for all names {everything}"


@probe(
    "InvokeEndpointWithResponseStream requires both sagemaker:InvokeEndpoint and the action with its own name",
    documented="assumed: embedded_aws/services/sagemaker/permissions.py; the API reference names the first, the "
    "service authorization reference the second",
    believed="both ValidationError, only InvokeEndpoint AccessDeniedException, only its own AccessDeniedException",
)
def a_response_stream_requires_two_actions(account: Account) -> str:
    """Invoke an endpoint that does not exist with both permissions, and with each of them alone."""
    actions = ("sagemaker:InvokeEndpoint", "sagemaker:InvokeEndpointWithResponseStream")
    role, missing = account.role("stream", [allow(action) for action in actions]), account.name("missing")

    def stream(*allowed: str) -> str:
        session = account.session_of(role, *(allow(action) for action in allowed))
        client = account.client("sagemaker-runtime", session)
        return error_of(lambda: client.invoke_endpoint_with_response_stream(EndpointName=missing, Body=b"{}"))

    both = account.wait(lambda: None if (says := stream(*actions)) == "AccessDeniedException" else says, "IAM", 90)
    return f"both {both}, only InvokeEndpoint {stream(actions[0])}, only its own {stream(actions[1])}"


@probe(
    "StartAutomationExecution with tags requires ssm:AddTagsToResource",
    documented="assumed: template.yaml, RequestApprovalFunction; embedded_aws/services/ssm/permissions.py",
    believed="without tags accepted, with tags AccessDeniedException",
    costs=[Cost("Automation step", 2)],
)
def a_start_with_tags_requires_tagging(account: Account) -> str:
    """Start a runbook with and without tags, without the permission to tag."""
    name, ssm = account.name("tagged"), account.client("ssm")
    account.ledger.add("ssm", "delete_document", Name=name)
    content = (
        '{"schemaVersion": "0.3", "mainSteps": '
        '[{"name": "wait", "action": "aws:sleep", "inputs": {"Duration": "PT1S"}}]}'
    )
    ssm.create_document(Name=name, Content=content, DocumentType="Automation", DocumentFormat="JSON")
    role = account.role("tagged", [allow("ssm:StartAutomationExecution")])
    client = account.client("ssm", account.session_of(role))

    def start(**tags: object) -> None:
        client.start_automation_execution(DocumentName=name, **tags)

    account.settling(start, "AccessDenied")
    tagged = error_of(lambda: start(Tags=[{"Key": "team", "Value": "reviews"}]))
    return f"without tags {error_of(start)}, with tags {tagged}"


@probe(
    "Lambda sends no aws:SourceAccount when it assumes the role of a function, so a condition on it prevents the start",
    documented="assumed: docs/decisions.md, The role of a function trusts Lambda without a condition",
    believed="AccessDeniedException",
    costs=[Cost("Lambda gigabyte-second", 1)],
    not_modeled="The embedded Lambda keeps the credentials of a function whose role changes.",
)
def lambda_sends_no_source_account(account: Account) -> str:
    """Invoke a function whose role trusts Lambda only for this account."""
    condition = {"StringEquals": {"aws:SourceAccount": account.number}}
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "lambda.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    role = account.role("lambda", [], trust)
    function = account.function("trust", "def handler(event, context):\n    return 1\n", role)
    account.client("lambda").invoke(FunctionName=function)
    iam, name = account.client("iam"), role.rpartition("/")[2]
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=document(trust | {"Condition": condition}))
    account.pause(30)
    # A new configuration requires new credentials.
    account.client("lambda").update_function_configuration(FunctionName=function, Description="again")
    account.client("lambda").get_waiter("function_updated").wait(FunctionName=function)
    return error_of(lambda: account.client("lambda").invoke(FunctionName=function))


@probe(
    "The default of a CommaDelimitedList parameter '' is a list with one empty string, so the rule that requires "
    "Approvers refuses it",
    documented="assumed: template.yaml, ApproversRequired",
    believed="ValidationError",
)
def empty_approvers_are_refused(account: Account) -> str:
    """Create a stack with the parameters and the rule of the stage, and no approvers."""
    template = """
Parameters:
  RequireApproval: {Type: String, Default: 'true'}
  Approvers: {Type: CommaDelimitedList, Default: ''}
Rules:
  ApproversRequired:
    RuleCondition: !Equals [!Ref RequireApproval, 'true']
    Assertions:
      - Assert: !Not [!Contains [!Ref Approvers, '']]
        AssertDescription: Set Approvers.
Resources:
  Handle: {Type: 'AWS::SSM::Parameter', Properties: {Type: String, Value: x}}
"""
    name, cloudformation = account.name("approvers"), account.client("cloudformation")
    account.ledger.add("cloudformation", "delete_stack", StackName=name)
    return error_of(lambda: cloudformation.create_stack(StackName=name, TemplateBody=template))
