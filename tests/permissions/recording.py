"""Record the permissions that the whole-machine tests of one process require, for `python -m tests.permissions`.

The record does not distinguish stages or accounts: it names a grant by the logical ID of the resource with the policy.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from moto.cloudformation.models import cloudformation_backends

from embedded_aws import permissions_report
from embedded_aws.iam import decisions
from embedded_aws.kernel import accounts
from embedded_aws.permissions_report import Grant, Refusal, Use
from embedded_aws.services.cloudformation.resource_types.base import Resource
from sandbox import stacks
from tests.permissions.usage import Denied, Granted, Usage
from tests.support.world import TRYING

# The template of the managed policies for people, whose roles are not in it.
PEOPLE = "people.yaml "
DIRECTORY = stacks.ROOT / ".local/permissions"


def clear(directory: Path) -> None:
    """Delete the records of an earlier run."""
    for file in directory.glob("*.json"):
        file.unlink()


@contextlib.contextmanager
def recorded(directory: Path | None, process: str) -> Iterator[None]:
    """Record the use of permissions in the context to `<process>.json` in `directory`, if there is one."""
    if directory is None:
        yield
        return
    use = Use(excluded_sessions=[TRYING])
    with decisions.watched(use.see):
        yield
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{process}.json").write_text(usage(use).to_json())


class _Names:
    """The names in the templates of resources whose real names differ between stages and applications."""

    def __init__(self) -> None:
        self.resources: list[tuple[str, Resource]] = []
        stages: set[str] = set()
        # The application of each resource of an application.yaml stack, by the ARN of its role.
        self._applications: dict[str, str] = {}
        for account in accounts.ACCOUNTS.values():
            for stack in list(cloudformation_backends[account][accounts.REGION].stacks.values()):
                if str(stack.template_dict.get("Description")).startswith("Model Promotion"):
                    template = "" if "Stage" in stack.parameters else "upstream.yaml "
                    template = PEOPLE if "DeploymentRoleArn" in stack.parameters else template
                    stages |= {stack.parameters.get(name, "") for name in ("Stage", "DownstreamStage")} - {""}
                    made = [each for each in stack.stack_resources if each.exists]
                    if application := stack.parameters.get("Application"):
                        template = "application.yaml "
                        self._applications |= {each.attributes.get("Arn", ""): application for each in made}
                    self.resources += [(template + each.logical_resource_id, each) for each in made]
        self._stages = "|".join(sorted(stages))
        self._roles = {
            each.attributes["Arn"]: name for name, each in self.resources if each.cf_resource_type == "AWS::IAM::Role"
        }
        self._bearers = {arn for _, each in self.resources for arn in permissions_report.bearers(each)}

    def caller(self, principal: str) -> str:
        """Return the logical ID of a role of the stacks, or `principal` itself."""
        return self._roles.get(principal, principal)

    def is_relevant(self, refusal: Refusal) -> bool:
        """Return whether the call was by a role of the stacks, or by a service for a resource of the stacks."""
        is_service = not refusal.principal.startswith("arn:")
        return refusal.principal in self._roles or (is_service and refusal.resource in self._bearers)

    def statement(self, holder: str, grant: Grant) -> str:
        """Return the name of a statement: its resource, the policy if there can be several, and the statement."""
        if grant.policy in self._roles:
            return f"{holder} trust {grant.label}"
        # The name of an inline policy begins with that of its role; the ARN of a managed policy ends with its name.
        own = [name.rpartition("/")[2].removeprefix(holder) for name in grant.policy.split(" ")[1:]]
        # The names of managed policies, and of statements that permit the invocation of a function, are generated.
        return self.normalized(" ".join([holder, *own, grant.label]))

    def normalized(self, text: str, role: str = "") -> str:
        """Replace the names in `text` that differ between stages, and the buckets and repositories of parameters.

        In the texts of the serving role `role`, an ARN, replace the name of its application, too.
        """
        if application := self._applications.get(role):
            text = re.sub(rf"\b{application}\b", "APPLICATION", text)
        for _, resource in self.resources:
            if resource.has_generated_name:
                text = text.replace(resource.name, resource.logical_resource_id)
        for pattern, name in (
            (r"arn:\*:s3:::[^/]+", "arn:*:s3:::UPSTREAM"),
            (rf"sagemaker-{accounts.REGION}-\d{{12}}", "UPSTREAM"),
            (r"repository/(echo|team/\*)$", "repository/REPOSITORY"),
            (rf"\b({self._stages})\b", "STAGE"),
            (r"\d{12}", "ACCOUNT"),
            (r"key/[0-9a-f-]{36}", "key/ID"),
        ):
            text = re.sub(pattern, name, text)
        return text


def usage(use: Use) -> Usage:
    """Return the use of the policies of all stacks that exist now."""
    names = _Names()
    found = Usage(use.decided)
    for holder, resource in names.resources:
        for grant in permissions_report.granted(resource):
            granted = Granted(
                names.statement(holder, grant),
                names.normalized(grant.action),
                names.normalized(grant.resource, resource.attributes.get("Arn", "")),
            )
            required_by = {_denied(names, each) for each in use.missed_by.get(grant, {}).values()}
            found.add(granted, use.calls[grant], required_by)
        for grant in permissions_report.offered(resource) if holder.startswith(PEOPLE) else ():
            calls, missed = use.of_offered(grant)
            granted = Granted(f"{holder} {grant.label}", grant.action, names.normalized(grant.resource))
            found.add(granted, calls, {_denied(names, each)._replace(caller="a person") for each in missed})
    for refusal, calls in use.denied.items():
        if names.is_relevant(refusal):
            found.denied[_denied(names, refusal)] += calls
    return found


def _denied(names: _Names, refusal: Refusal) -> Denied:
    on = names.normalized(refusal.resource, refusal.principal)
    return Denied(names.caller(refusal.principal), refusal.action, on, refusal.why)
