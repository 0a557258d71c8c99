"""Functions of a customer: their creation, invocation and logs."""

import io
import json
import textwrap
import zipfile
from collections.abc import Callable
from typing import Any

from embedded_aws.iam import clients
from embedded_aws.kernel import accounts

QA = accounts.ACCOUNTS["qa"]
PRODUCTION = accounts.ACCOUNTS["production"]
ALLOW_ALL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
LAMBDA_TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def zipped(files: dict[str, str]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, textwrap.dedent(text))
    return content.getvalue()


class Function:
    """A deployed function."""

    def __init__(self, client: Any, name: str, arn: str) -> None:
        self.client = client
        self.name = name
        self.arn = arn

    def invoke(self, event: object = None, **arguments: Any) -> dict[str, Any]:
        response: dict[str, Any] = self.client.invoke(FunctionName=self.name, Payload=json.dumps(event), **arguments)
        return response

    def result(self, event: object = None) -> Any:
        response = self.invoke(event)
        payload = json.loads(response["Payload"].read())
        assert "FunctionError" not in response, payload
        return payload

    def error(self, event: object = None) -> dict[str, Any]:
        response = self.invoke(event)
        payload: dict[str, Any] = json.loads(response["Payload"].read())
        assert response["FunctionError"] == "Unhandled", payload
        assert response["StatusCode"] == 200
        return payload

    def log(self) -> list[str]:
        logs = clients.client_as_operator("logs", self.arn.split(":")[4])
        events = logs.filter_log_events(logGroupName=f"/aws/lambda/{self.name}")["events"]
        return [event["message"] for event in events]


def create_role(name: str, account: str) -> str:
    iam = clients.client_as_operator("iam", account)
    role: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(LAMBDA_TRUST))["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=json.dumps(ALLOW_ALL))
    return role


MakeFunction = Callable[..., Function]
