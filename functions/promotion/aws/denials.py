"""The cause of a denied request: which kind of policy denied it, and in whose account that policy is.

IAM user guide, "Troubleshoot access denied error messages": a message ends with "because no <kind of policy> allows the
<action> action", or "with an explicit deny in a <kind of policy>". Many messages to another account say neither.
"""

from __future__ import annotations

import dataclasses
import re

from botocore.exceptions import ClientError

from promotion.aws.aws_errors import message

# The policies of a resource or of its account; any other kind belongs to the caller.
_OF_RESOURCE = {"resource-based policy", "resource control policy", "role trust policy"}
_KIND = r"(?P<kind>[\w -]{0,60}?(?:policy|permissions boundary))"
_EXPLICIT = re.compile(rf"with an explicit deny in (?:an?|the) {_KIND}")
_IMPLICIT = re.compile(rf"because no {_KIND} allows")


@dataclasses.dataclass(frozen=True)
class Denial:
    """A kind of policy, and whether it denies the request explicitly instead of not allowing it."""

    kind: str
    is_explicit: bool

    @property
    def is_missing_in_identity(self) -> bool:
        """Return whether the caller's own role lacks the permission."""
        return self.kind == "identity-based policy" and not self.is_explicit

    def advice(self, caller: str, account_of_caller: str, account_of_resource: str) -> str | None:
        """Return what lifts a denial that no further statement allows, or None if one would.

        `caller` is the subject of the exception to make, such as "the roles of this stage"; the accounts say where a
        policy is: "this stage's account".
        """
        where = account_of_resource if self.kind in _OF_RESOURCE else account_of_caller
        if self.is_explicit:
            return (
                f"An explicit deny in a {self.kind} of {where} overrides every statement that allows the request. Find "
                f"that policy, and exclude {caller} from the deny."
            )
        if self.kind in _OF_RESOURCE or self.is_missing_in_identity:
            return None
        return f"A {self.kind} of {where} does not permit the request. Extend that policy for {caller}."


def read(error: ClientError) -> Denial | None:
    """Return the denial that the message of `error` reports, or None if it names no kind of policy."""
    text = message(error)
    if found := _EXPLICIT.search(text) or _IMPLICIT.search(text):
        return Denial(found["kind"], is_explicit=found.re is _EXPLICIT)
    return None


def advice(error: ClientError, account_of_resource: str, missing: str) -> str | None:
    """Return what lifts a denial of this stage, or None if a statement in `account_of_resource` would.

    `missing` is the advice if the stage's own role lacks the permission.
    """
    denial = read(error)
    if denial is None:
        return None
    if denial.is_missing_in_identity:
        return f"The permission is missing in this stage's own account. {missing}"
    return denial.advice("the roles of this stage", "this stage's account", account_of_resource)
