from promotion.copying.s3_errors import explained
from tests.support.s3_faults import client_error

UPSTREAM = "111111111111"


def test_a_denied_kms_key_is_distinguished_from_a_denied_object() -> None:
    key = f"arn:aws:kms:eu-west-1:{UPSTREAM}:key/2"
    denied = client_error("AccessDenied", f"not authorized to perform: kms:Decrypt on resource: {key} because no")

    message = str(explained(denied, "s3:GetObject", "arn:aws:s3:::artifacts/m", "s3://artifacts/m"))

    assert f'"Action": "kms:Decrypt", "Resource": "{key}"' in message
    assert "An AWS managed key (aws/s3) cannot be shared" in message
