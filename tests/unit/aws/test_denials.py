"""Denials of every service and kind of policy: which account and which policy denied the request, and what helps."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from promotion.aws import clients, denials
from promotion.aws.denials import Denial
from promotion.copying import image_copier, s3_errors
from promotion.copying.copy_errors import CopyErrors
from promotion.copying.image_copier import ImageCopier
from promotion.copying.incoming import IncomingErrors
from promotion.errors import PromotionRefusedError
from promotion.source import reader
from promotion.source.admission import Applications
from promotion.source.images import Copy, parse
from promotion.source.reader import Upstream
from promotion.source.request import Promote
from tests.support.s3_faults import client_error

UPSTREAM, OWN, THIRD = "111111111111", "222222222222", "333333333333"
ROLE = f"arn:aws:iam::{UPSTREAM}:role/model-promotion-upstream-of-qa"
KEY = f"arn:aws:kms:eu-west-1:{THIRD}:key/0a"
IMAGE = f"{THIRD}.dkr.ecr.eu-west-1.amazonaws.com/team/server:1"
MANIFEST = '{"config": {"digest": "sha256:c", "size": 1}}'
DIGEST = f"sha256:{hashlib.sha256(MANIFEST.encode()).hexdigest()}"

EXPLICIT = "with an explicit deny in a {}"
IMPLICIT = "because no {} allows the {action} action"


class Denying:
    """A client whose every call is denied for a reason."""

    exceptions = None

    def __init__(self, message: str) -> None:
        self._message = message

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def call(**_: Any) -> Any:
            raise client_error("AccessDeniedException", self._message, operation)

        return call


def raised(call: Callable[[], Any]) -> str:
    with pytest.raises(PromotionRefusedError) as error:
        call()
    return str(error.value)


def reading_object(message: str) -> str:
    error = client_error("AccessDenied", message)
    return str(s3_errors.explained(error, "s3:GetObject", "arn:aws:s3:::shared/m", "s3://shared/m", THIRD))


def decrypting(message: str) -> str:
    return str(s3_errors.key_denied("s3://shared/m", KEY, client_error("AccessDenied", message)))


def writing(message: str) -> str:
    return str(CopyErrors("stage", OWN).of_target(client_error("AccessDenied", message), "models/m"))


def writing_incoming(message: str) -> str:
    return str(IncomingErrors("stage", OWN).of_target(client_error("AccessDenied", message), "incoming/m"))


def pulling(message: str) -> str:
    return raised(lambda: image_copier.digest_of(Denying(message), parse(IMAGE)))


def pushing(message: str) -> str:
    class Registry(Denying):
        def batch_get_image(self, **_: Any) -> Any:
            kind = "application/vnd.docker.distribution.manifest.v2+json"
            found = {"imageManifest": MANIFEST, "imageId": {"imageDigest": DIGEST}, "imageManifestMediaType": kind}
            return {"images": [found]}

    target = f"{OWN}.dkr.ecr.eu-west-1.amazonaws.com/model-promotion-qa@{DIGEST}"
    source = f"{THIRD}.dkr.ecr.eu-west-1.amazonaws.com/team/server@{DIGEST}"
    return raised(lambda: ImageCopier(Registry(message)).copy(Copy(source, target, "tag"), 60))


def assuming(message: str) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clients, "client", lambda _: Denying(message))
        return raised(lambda: clients.upstream_client(ROLE, "model-promotion-qa", "one", "s3"))


def describing(message: str) -> str:
    upstream = Upstream(lambda _: Denying(message), UPSTREAM, "eu-west-1", ROLE)
    applications = Applications("qa", OWN, lambda _: {})
    return raised(lambda: reader.read(upstream, Promote("model", "reviews-1", "reviews"), applications))


STAGE = "this stage's account"
# Each request with its action, the accounts of the caller and the resource, what helps if the caller's role lacks the
# permission, and what helps otherwise.
REQUESTS = [
    (reading_object, "s3:GetObject", STAGE, THIRD, "with the bucket in UpstreamBuckets", '"Action": "s3:GetObject"'),
    (decrypting, "kms:Decrypt", STAGE, THIRD, "the owners in UpstreamBuckets", '"Action": "kms:Decrypt"'),
    (writing, "s3:PutObject", STAGE, STAGE, "Deploy the stack of this stage again", "the bucket policy and the key"),
    (writing_incoming, "s3:PutObject", "the upstream account", STAGE, "CopiedBuckets", "CopiedBuckets"),
    (pulling, "ecr:BatchGetImage", STAGE, THIRD, "Deploy the stack of this stage again", '"ecr:BatchGetImage"'),
    (pushing, "ecr:PutImage", STAGE, STAGE, "Deploy the stack of this stage again", "the policy of that repository"),
    (assuming, "sts:AssumeRole", STAGE, UPSTREAM, "Deploy the stack of this stage again", "Deploy upstream.yaml in"),
    (describing, "sagemaker:DescribeModel", UPSTREAM, UPSTREAM, "Deploy upstream.yaml in", "Deploy upstream.yaml in"),
]
NAMES = [request[0].__name__ for request in REQUESTS]
OF_CALLER = ("service control policy", "permissions boundary", "session policy", "VPC endpoint policy")
OF_RESOURCE = ("resource-based policy", "resource control policy", "role trust policy")


@pytest.mark.parametrize("kind", [*OF_CALLER, *OF_RESOURCE, "identity-based policy"])
@pytest.mark.parametrize(("refusal", "action", "caller", "resource", "lacks", "helps"), REQUESTS, ids=NAMES)
def test_a_denial_names_the_account_and_the_kind_of_policy_and_only_what_helps(
    refusal: Callable[[str], str], action: str, caller: str, resource: str, lacks: str, helps: str, kind: str
) -> None:
    denied = f"User: r is not authorized to perform: {action} on resource: x"
    explicit = refusal(f"{denied} {EXPLICIT.format(kind)}")
    implicit = refusal(f"{denied} {IMPLICIT.format(kind, action=action)}")
    where = resource if kind in OF_RESOURCE else caller

    assert f"An explicit deny in a {kind} of " in explicit
    assert f"{where} overrides every statement" in explicit
    assert '"Effect": "Allow"' not in explicit
    assert helps not in explicit
    if kind in OF_CALLER:
        assert f"A {kind} of " in implicit
        assert f"{where} does not permit the request. Extend that policy" in implicit
        assert '"Effect": "Allow"' not in implicit
    elif kind in OF_RESOURCE:
        assert helps in implicit
    else:
        assert lacks in implicit
        assert '"Effect": "Allow"' not in implicit


@pytest.mark.parametrize(("refusal", "action", "caller", "resource", "lacks", "helps"), REQUESTS, ids=NAMES)
def test_a_denial_without_a_reason_offers_what_may_help(
    refusal: Callable[[str], str], action: str, caller: str, resource: str, lacks: str, helps: str
) -> None:
    assert helps in refusal("Access Denied")


@pytest.mark.parametrize(
    ("message", "denial"),
    [
        ("Access Denied", None),
        (
            "x with an explicit deny in a service control policy: arn:aws:organizations::1:policy/o-1/p-1",
            Denial("service control policy", is_explicit=True),
        ),
        ("x with an explicit deny in the role trust policy", Denial("role trust policy", is_explicit=True)),
        ("x with an explicit deny in an identity-based policy", Denial("identity-based policy", is_explicit=True)),
        ("x because no role trust policy allows the a:B action", Denial("role trust policy", is_explicit=False)),
    ],
)
def test_the_kind_of_policy_is_read_from_the_message(message: str, denial: Denial | None) -> None:
    assert denials.read(client_error("AccessDenied", message)) == denial


def test_a_transient_error_of_the_role_is_not_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def assume_role(**_: Any) -> Any:
        raise client_error("ThrottlingException")

    client = type("Sts", (), {"assume_role": staticmethod(assume_role)})
    monkeypatch.setattr(clients, "client", lambda _: client)

    with pytest.raises(Exception, match="ThrottlingException"):
        clients.upstream_client(ROLE, "model-promotion-qa", "one", "s3")
