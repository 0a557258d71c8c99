"""The stage that an execution promotes a model into."""

from __future__ import annotations

import dataclasses

from promotion import naming


@dataclasses.dataclass(frozen=True)
class Stage:
    """The destination of a promotion, and the account of its sources.

    `bucket_owners` are the accounts of those upstream buckets that belong to another account than the upstream one.
    """

    name: str
    account: str
    region: str
    bucket: str
    upstream_account: str
    bucket_owners: dict[str, str] = dataclasses.field(default_factory=dict)

    def owner_of(self, bucket: str) -> str:
        """Return the account that must own an upstream bucket."""
        return self.bucket_owners.get(bucket, self.upstream_account)

    def endpoint(self, application: str) -> str:
        """Return the name of an application's endpoint; raise InvalidRequestError if it is too long."""
        return naming.endpoint_name(application, self.name)

    def uri(self, key: str) -> str:
        """Return the `s3://` URI of a key in the stage's bucket."""
        return f"s3://{self.bucket}/{key}"


def bucket_owners(upstream_buckets: str) -> dict[str, str]:
    """Return the owners in the parameter UpstreamBuckets by their buckets: `<bucket>` or `<bucket>=<account>`, …."""
    pairs = (bucket.strip().partition("=") for bucket in upstream_buckets.split(","))
    return {bucket: owner for bucket, _, owner in pairs if owner}
