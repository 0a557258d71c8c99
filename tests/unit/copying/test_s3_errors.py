import pytest

from promotion.copying.s3_errors import explained
from tests.support.s3_faults import client_error

UPSTREAM = "111111111111"


def test_a_denied_kms_key_is_distinguished_from_a_denied_object() -> None:
    key = f"arn:aws:kms:eu-west-1:{UPSTREAM}:key/2"
    denied = client_error("AccessDenied", f"not authorized to perform: kms:Decrypt on resource: {key} because no")

    message = str(explained(denied, "s3:GetObject", "arn:aws:s3:::artifacts/m", "s3://artifacts/m", UPSTREAM))

    assert f'"Action": "kms:Decrypt", "Resource": "{key}"' in message
    assert "An AWS managed key (aws/s3) cannot be shared" in message


def denied(reason: str) -> str:
    error = client_error("AccessDenied", f"User: r is not authorized to perform: s3:GetObject on resource: x {reason}")
    return str(explained(error, "s3:GetObject", "arn:aws:s3:::artifacts/m", "s3://artifacts/m", UPSTREAM))


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ("because no identity-based policy allows the s3:GetObject action", "with the bucket in UpstreamBuckets"),
        ("with an explicit deny in a service control policy", "a service control policy of this stage's account"),
        ("with an explicit deny in a VPC endpoint policy", "a VPC endpoint policy of this stage's account"),
        ("with an explicit deny in a resource-based policy", f"a resource-based policy of account {UPSTREAM}"),
        ("with an explicit deny in a permissions boundary", "a permissions boundary of this stage's account"),
        (
            "because no permissions boundary allows the s3:GetObject action",
            "A permissions boundary of this stage's account does not permit",
        ),
    ],
)
def test_a_denial_that_no_statement_upstream_lifts_offers_none(reason: str, advice: str) -> None:
    message = denied(reason)

    assert advice in message
    assert reason in message
    assert '"Effect": "Allow"' not in message


@pytest.mark.parametrize("reason", ["because no resource-based policy allows the s3:GetObject action", ""])
def test_any_other_denial_offers_the_statement_upstream(reason: str) -> None:
    assert '"Effect": "Allow", "Action": "s3:GetObject"' in denied(reason)
