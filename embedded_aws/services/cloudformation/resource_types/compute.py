"""Resource types of Lambda and Step Functions."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any, override

from embedded_aws.services.cloudformation.resource_types.base import Resource
from embedded_aws.services.stepfunctions import definitions


class Function(Resource, of="AWS::Lambda::Function", name="FunctionName", limit=64, fixed=("PackageType",)):
    """A Lambda function."""

    @override
    def create(self) -> None:
        request = self.properties | {"FunctionName": self.name, "Code": self._code()}
        function = self.call("lambda", "create_function", request)
        self.set_identity(function["FunctionName"], Arn=function["FunctionArn"])
        self._set_reserved_concurrency({})

    @override
    def update(self, old: dict[str, Any]) -> None:
        function = {"FunctionName": self.name}
        if any(self.properties.get(name) != old.get(name) for name in ("Code", "Architectures")):
            self.call("lambda", "update_function_code", self.properties | self._code() | function)
        self.call("lambda", "update_function_configuration", self.properties | function)
        self._set_reserved_concurrency(old)

    @override
    def delete(self) -> None:
        self.call("lambda", "delete_function", {"FunctionName": self.name})

    def _code(self) -> dict[str, Any]:
        """Return the code for CreateFunction; inline code is zipped as `index.py`, as CloudFormation does."""
        code: dict[str, Any] = dict(self.properties["Code"])
        if "ZipFile" in code:
            content = io.BytesIO()
            with zipfile.ZipFile(content, "w") as archive:
                archive.writestr("index.py", code["ZipFile"])
            code["ZipFile"] = content.getvalue()
        return code

    def _set_reserved_concurrency(self, old: dict[str, Any]) -> None:
        function = {"FunctionName": self.name}
        if "ReservedConcurrentExecutions" in self.properties:
            self.call("lambda", "put_function_concurrency", self.properties | function)
        elif "ReservedConcurrentExecutions" in old:
            self.call("lambda", "delete_function_concurrency", function)


class Permission(
    Resource,
    of="AWS::Lambda::Permission",
    fixed=("FunctionName", "Action", "Principal", "SourceArn", "SourceAccount", "PrincipalOrgID"),
):
    """A statement of a Lambda function's resource-based policy."""

    @override
    def create(self) -> None:
        self.call("lambda", "add_permission", self.properties | {"StatementId": self.name})
        self.set_identity(self.name, Id=self.name)

    @override
    def delete(self) -> None:
        self.call("lambda", "remove_permission", self.properties | {"StatementId": self.name})


class EventInvokeConfig(Resource, of="AWS::Lambda::EventInvokeConfig", fixed=("FunctionName", "Qualifier")):
    """The configuration of asynchronous invocations of a Lambda function."""

    @override
    def create(self) -> None:
        self.call("lambda", "put_function_event_invoke_config", self.properties)
        self.set_identity(self.name)

    @override
    def update(self, old: dict[str, Any]) -> None:
        self.call("lambda", "put_function_event_invoke_config", self.properties)

    @override
    def delete(self) -> None:
        self.call("lambda", "delete_function_event_invoke_config", self.properties)


class StateMachine(
    Resource, of="AWS::StepFunctions::StateMachine", name="StateMachineName", limit=80, fixed=("StateMachineType",)
):
    """A Step Functions state machine."""

    @override
    def create(self) -> None:
        request = {"name": self.name, "type": self.properties.get("StateMachineType"), "definition": self._definition()}
        arn = self.call("stepfunctions", "create_state_machine", self.properties | request)["stateMachineArn"]
        self.set_identity(arn, Arn=arn, Name=self.name)

    @override
    def update(self, old: dict[str, Any]) -> None:
        request = {"stateMachineArn": self.physical_resource_id, "definition": self._definition()}
        self.call("stepfunctions", "update_state_machine", self.properties | request)

    @override
    def delete(self) -> None:
        self.call("stepfunctions", "delete_state_machine", {"stateMachineArn": self.physical_resource_id})

    def _definition(self) -> str:
        substitutions = self.properties.get("DefinitionSubstitutions", {})
        return definitions.from_template(self._definition_text(), substitutions)

    def _definition_text(self) -> str:
        if "DefinitionString" in self.properties:
            return str(self.properties["DefinitionString"])
        if "Definition" in self.properties:
            return json.dumps(self.properties["Definition"])
        content: bytes = self.call("s3", "get_object", self.properties["DefinitionS3Location"])["Body"].read()
        return content.decode()
