"""The stage that an execution promotes a model into."""

from __future__ import annotations

import dataclasses

from promotion import naming


@dataclasses.dataclass(frozen=True)
class Stage:
    """The destination of a promotion, and the account of its sources."""

    name: str
    account: str
    region: str
    bucket: str
    upstream_account: str

    def endpoint(self, application: str) -> str:
        """Return the name of an application's endpoint; raise InvalidRequestError if it is too long."""
        return naming.endpoint_name(application, self.name)

    def uri(self, key: str) -> str:
        """Return the `s3://` URI of a key in the stage's bucket."""
        return f"s3://{self.bucket}/{key}"
