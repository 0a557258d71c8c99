"""Common parts of the tests of resource types: templates of a few resources, and their outputs."""

from collections.abc import Callable
from typing import Any

from embedded_aws.iam import clients
from embedded_aws.kernel import accounts
from embedded_aws.services.cloudformation import deploy

ACCOUNT = accounts.ACCOUNTS["qa"]
ASSUME = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
ROLE = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": ASSUME}}
CODE = {"ZipFile": "def handler(event, context):\n    return 1\n"}

Outputs = dict[str, str]
Deploy = Callable[..., Outputs]


def client(service: str) -> Any:
    return clients.client_as_operator(service, ACCOUNT)


def allow(action: str, resource: Any, service: str) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": action, "Resource": resource}
    return {"Version": "2012-10-17", "Statement": [statement]}


def delete_stack(name: str) -> None:
    deploy.delete(stack_name=name, account=ACCOUNT)


def attributes_of(*logical_and_attribute: str) -> dict[str, Any]:
    """Return the outputs of a resource: `Ref` and one for each attribute."""
    logical_id, *names = logical_and_attribute
    return {"Ref": {"Ref": logical_id}} | {name: {"Fn::GetAtt": [logical_id, name]} for name in names}
