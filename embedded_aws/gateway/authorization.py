"""The authorization of every request by IAM."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from embedded_aws.gateway import refusals, requests
from embedded_aws.iam import clients, decisions

_logger = logging.getLogger(__name__)


class Gate:
    """A WSGI application before another one."""

    def __init__(self, application: Any) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        refusal = _refusal(environ)
        if refusal is None:
            answer: Iterable[bytes] = self._application(environ, start_response)
            return answer
        return refusals.send(refusal, environ, start_response)


def _refusal(environ: dict[str, Any]) -> refusals.Answer | None:
    signed = requests.signature(environ)
    if signed is None:
        return refusals.answer("", "rest-xml", "AccessDenied", "Anonymous callers may do nothing here.")
    caller = clients.who_signed(signed.access_key_id)
    if caller is None:
        message = "The security token included in the request is invalid."
        return refusals.answer(signed.service, "json", "UnrecognizedClientException", message)
    if isinstance(caller, decisions.Caller):
        # Only services call for another account than that of their key.
        environ.pop("HTTP_X_MOTO_ACCOUNT_ID", None)
        account = caller.account
    else:
        account = environ.get("HTTP_X_MOTO_ACCOUNT_ID", caller.source_account)
    asked = requests.asked(environ, signed, account)
    about = {"aws:requestedregion": signed.region, "aws:sourceip": environ.get("REMOTE_ADDR")}
    for need in asked.needs:
        decision = decisions.decide(caller, need, about)
        if not decision.allowed:
            return refusals.denied(asked.service, asked.protocol, decision.reason, decision.action)
    if asked.is_known or clients.is_operator(caller):
        return None
    action = f"{asked.service}:{asked.operation}"
    _logger.warning("%s is refused to %s: nothing here knows what it needs", action, caller)
    decision = decisions.refuse_unknown(caller, action)
    return refusals.denied(asked.service, asked.protocol, decision.reason)
