"""What the whole-machine tests of one process needed of the stacks' policies, for `python -m tests.permissions`.

Stages and accounts are alike there: a grant is told as the template has it, by the logical id of what has the policy.
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
from tests.permissions.telling import Denied, Granted, Told
from tests.support.world import TRYING

DIRECTORY = stacks.ROOT / ".local/permissions"


def forget(directory: Path) -> None:
    """What an earlier run wrote there."""
    for file in directory.glob("*.json"):
        file.unlink()


@contextlib.contextmanager
def recorded(directory: Path | None, process: str) -> Iterator[None]:
    """Write down at the end what was needed meanwhile, if a directory is given for that; each process has its name."""
    if directory is None:
        yield
        return
    use = Use(excluded_sessions=[TRYING])
    with decisions.watched(use.see):
        yield
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{process}.json").write_text(told(use).written())


class _Names:
    """What the templates call that which has a name of its own in each stage."""

    def __init__(self) -> None:
        self.resources: list[tuple[str, Resource]] = []
        stages: set[str] = set()
        for account in accounts.ACCOUNTS.values():
            for stack in list(cloudformation_backends[account][accounts.REGION].stacks.values()):
                if str(stack.template_dict.get("Description")).startswith("Model Promotion"):
                    template = "" if "Stage" in stack.parameters else "upstream.yaml "
                    stages |= {stack.parameters.get("Stage", ""), stack.parameters["DownstreamStage"]} - {""}
                    made = [each for each in stack.stack_resources if each.exists]
                    self.resources += [(template + each.logical_resource_id, each) for each in made]
        self._stages = "|".join(sorted(stages))
        self._roles = {
            each.attributes["Arn"]: name for name, each in self.resources if each.cf_resource_type == "AWS::IAM::Role"
        }
        self._bearers = {arn for _, each in self.resources for arn in permissions_report.bearers(each)}

    def caller(self, principal: str) -> str:
        """A role by its logical id, a service or a role that is not of the stacks as it is."""
        return self._roles.get(principal, principal)

    def concern(self, refusal: Refusal) -> bool:
        """Whether a role of the stacks asked, or a service asked for something of the stacks."""
        is_service = not refusal.principal.startswith("arn:")
        return refusal.principal in self._roles or (is_service and refusal.resource in self._bearers)

    def statement(self, holder: str, grant: Grant) -> str:
        """Return the place of a grant: what holds it, the policy if that may have several, and the statement."""
        if grant.policy in self._roles:
            return f"{holder} trust {grant.label}"
        # A role's own policy begins with the name of the role; a managed one has an ARN, which ends with its name.
        own = [name.rpartition("/")[2].removeprefix(holder) for name in grant.policy.split(" ")[1:]]
        # The names of managed policies, and of statements that permit to invoke a function, are generated.
        return self.alike(" ".join([holder, *own, grant.label]))

    def alike(self, text: str) -> str:
        """A text with what differs between stages taken out of it, and the buckets and repositories of parameters."""
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


def told(use: Use) -> Told:
    """Return what was needed of the policies of all stacks that exist now."""
    names = _Names()
    found = Told(use.decided)
    for holder, resource in names.resources:
        for grant in permissions_report.granted(resource):
            granted = Granted(names.statement(holder, grant), names.alike(grant.action), names.alike(grant.resource))
            missed_by = {_denied(names, each) for each in use.missed_by.get(grant, {}).values()}
            found.add(granted, use.calls[grant], missed_by)
    for refusal, calls in use.denied.items():
        if names.concern(refusal):
            found.denied[_denied(names, refusal)] += calls
    return found


def _denied(names: _Names, refusal: Refusal) -> Denied:
    return Denied(names.caller(refusal.principal), refusal.action, names.alike(refusal.resource), refusal.why)
