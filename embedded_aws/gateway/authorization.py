"""The authorization of every request by IAM."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from embedded_aws.gateway import refusals, requests
from embedded_aws.iam import clients, decisions

_logger = logging.getLogger(__name__)


class Gate:
    """A WSGI middleware that passes on only the requests that IAM allows."""

    def __init__(self, application: Any) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Authorize a request and pass it on, or send AWS's error response."""
        refusal = _refusal(environ)
        if refusal is None:
            answer: Iterable[bytes] = self._application(environ, start_response)
            return answer
        return refusals.send(refusal, environ, start_response)


def _refusal(environ: dict[str, Any]) -> refusals.Answer | None:
    signed = requests.signature(environ)
    if signed is None:
        return refusals.answer("", "rest-xml", "AccessDenied", "The request is not signed.")
    caller = clients.who_signed(signed.access_key_id)
    if caller is None:
        message = "The security token included in the request is invalid."
        return refusals.answer(signed.service, "json", "UnrecognizedClientException", message)
    if isinstance(caller, decisions.Caller):
        # Only services call resources of an account other than that of their key.
        environ.pop("HTTP_X_MOTO_ACCOUNT_ID", None)
        account = caller.account
    else:
        account = environ.get("HTTP_X_MOTO_ACCOUNT_ID", caller.source_account)
    requested = requests.read_operation(environ, signed, account)
    about = {"aws:requestedregion": signed.region, "aws:sourceip": environ.get("REMOTE_ADDR")}
    for need in requested.needs:
        decision = decisions.decide(caller, need, about)
        if not decision.allowed:
            return refusals.denied(requested.service, requested.protocol, decision.reason, decision.action)
    if requested.is_known or clients.is_operator(caller):
        return None
    action = f"{requested.service}:{requested.operation}"
    _logger.warning("%s is denied to %s, because the permissions that it requires are unknown", action, caller)
    decision = decisions.deny_unknown(caller, action)
    return refusals.denied(requested.service, requested.protocol, decision.reason)
