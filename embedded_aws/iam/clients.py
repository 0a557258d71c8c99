"""Clients that act as a role, a user or an AWS service, and the owners of access keys."""

from __future__ import annotations

import functools
import hashlib
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError
from moto.iam.models import get_account_id_from, iam_backends
from moto.sts.models import sts_backends

from embedded_aws.iam import decisions
from embedded_aws.iam.decisions import Caller as Caller
from embedded_aws.iam.decisions import ServiceCall as ServiceCall
from embedded_aws.kernel import sdk
from embedded_aws.kernel.accounts import ACCOUNTS, REGION, account_of, endpoint_url

OPERATOR = "operator"

_ONE_ATTEMPT = Config(
    retries={"total_max_attempts": 1},
    parameter_validation=False,
    s3={"addressing_style": "path"},
)
_service_calls: dict[str, ServiceCall] = {}
# By access key. The owner of a key never changes, and moto searches all sessions for it.
_callers: dict[str, Caller] = {}


def create_operators() -> None:
    """Create an IAM user `operator` with all permissions and one access key in every account."""
    for account in ACCOUNTS.values():
        backend = iam_backends[account]["aws"]
        backend.create_user(REGION, OPERATOR)
        backend.put_user_policy(
            OPERATOR,
            "Administrator",
            '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}',
        )
        backend.create_access_key(OPERATOR)


def operator_credentials(account: str) -> dict[str, str]:
    """Return the access key of an account's `operator`, with the keys of an AWS config file."""
    (key,) = iam_backends[account]["aws"].list_access_keys(OPERATOR)
    return {"aws_access_key_id": key.access_key_id, "aws_secret_access_key": key.secret_access_key}


def role_credentials(role_arn: str, session_name: str, by: ServiceCall) -> dict[str, str]:
    """Return the credentials of a service that assumes a role, with the keys of an AWS config file.

    Raise ClientError AccessDenied if the role does not exist or its trust policy does not allow the call.
    """
    decision = decisions.decide_assume_role(by, role_arn, session_name)
    if not decision.allowed:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": decision.reason}}, "AssumeRole")
    session = sts_backends[account_of(role_arn)]["aws"].assume_role(
        region_name=REGION,
        role_session_name=session_name,
        role_arn=role_arn,
        policy=None,
        duration=3600,
        external_id=None,
    )
    return {
        "aws_access_key_id": session.access_key_id,
        "aws_secret_access_key": session.secret_access_key,
        "aws_session_token": session.session_token,
    }


def client_as_role(service: str, role_arn: str, session_name: str, by: ServiceCall, region: str = REGION) -> Any:
    """Return a boto3 client that acts as `role_arn`, as an AWS service does on a customer's behalf."""
    return _client(service, role_credentials(role_arn, session_name, by), region)


def client_as_operator(service: str, account: str, region: str = REGION) -> Any:
    """Return a boto3 client that acts as the account's `operator`. All callers share it."""
    return _operators_client(service, account, region, endpoint_url())


@functools.lru_cache(maxsize=64)
def _operators_client(service: str, account: str, region: str, _endpoint_url: str) -> Any:
    return _client(service, operator_credentials(account), region)


def client_as_caller(service: str, access_key_id: str, region: str = REGION) -> Any:
    """Return a boto3 client that acts as the user or role session that owns `access_key_id`."""
    account = get_account_id_from(access_key_id)
    key = iam_backends[account]["aws"].access_keys[access_key_id]
    credentials = {"aws_access_key_id": key.access_key_id, "aws_secret_access_key": key.secret_access_key}
    session = sts_backends[account]["aws"].get_assumed_role_from_access_key(access_key_id)
    if session:
        credentials["aws_session_token"] = session.session_token
    return _client(service, credentials, region)


def client_as_service(service: str, principal: str, source_arn: str, account: str, region: str = REGION) -> Any:
    """Return a boto3 client that acts as the AWS service `principal` for `source_arn`, on resources of `account`."""
    call = ServiceCall(principal, source_arn)
    access_key_id = "ASVC" + hashlib.sha256(repr(call).encode()).hexdigest()[:16].upper()
    _service_calls[access_key_id] = call
    client = _client(service, {"aws_access_key_id": access_key_id, "aws_secret_access_key": principal}, region)

    # moto derives the account of a request from its access key, and a service has none in the account that it calls.
    def name_account(request: Any, **_: object) -> None:
        request.headers["x-moto-account-id"] = account

    client.meta.events.register("before-sign", name_account)
    return client


def caller(access_key_id: str) -> Caller:
    """Return the user or role session that owns an access key."""
    if access_key_id not in _callers:
        account = get_account_id_from(access_key_id)
        key = iam_backends[account]["aws"].access_keys.get(access_key_id)
        backend = sts_backends[account]["aws"]
        _, arn, _ = backend.get_caller_identity(access_key_id, REGION)
        session = backend.get_assumed_role_from_access_key(access_key_id)
        policy = str(session.policy or "") if session else ""
        _callers[access_key_id] = Caller(account, arn, key.role_arn if key and key.role_arn else arn, policy)
    return _callers[access_key_id]


def who_signed(access_key_id: str) -> Caller | ServiceCall | None:
    """Return the user, role session or service that owns an access key, or None if the key does not exist."""
    if access_key_id in _service_calls:
        return _service_calls[access_key_id]
    account = get_account_id_from(access_key_id)
    return caller(access_key_id) if access_key_id in iam_backends[account]["aws"].access_keys else None


def is_operator(principal: Caller | ServiceCall) -> bool:
    """Return whether this is the `operator` of an account."""
    return isinstance(principal, Caller) and principal.arn == f"arn:aws:iam::{principal.account}:user/{OPERATOR}"


def _client(service: str, credentials: dict[str, str], region: str) -> Any:
    return sdk.client(service, credentials, region, _ONE_ATTEMPT)
