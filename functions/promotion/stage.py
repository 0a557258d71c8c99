"""The stage that an execution promotes into."""

from __future__ import annotations

import dataclasses

from promotion import naming


@dataclasses.dataclass(frozen=True)
class Stage:
    """Where a promotion puts a candidate, and the account that it takes the candidate from."""

    name: str
    account: str
    region: str
    bucket: str
    upstream_account: str

    def endpoint(self, application: str) -> str:
        """Return the name of an application's endpoint; raise InvalidRequestError if it is too long."""
        return naming.endpoint_name(application, self.name)

    def uri(self, key: str) -> str:
        """Return the `s3://` address of a key in the stage's bucket."""
        return f"s3://{self.bucket}/{key}"
