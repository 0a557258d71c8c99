"""The one place that every request passes on its way to a service: IAM decides on it there."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from local import iam, iam_refusals, iam_requests, identity

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
        return iam_refusals.send(refusal, environ, start_response)


def _refusal(environ: dict[str, Any]) -> iam_refusals.Answer | None:
    signed = iam_requests.signature(environ)
    if signed is None:
        return iam_refusals.answer("", "rest-xml", "AccessDenied", "Anonymous callers may do nothing here.")
    caller = identity.who_signed(signed.access_key_id)
    if caller is None:
        message = "The security token included in the request is invalid."
        return iam_refusals.answer(signed.service, "json", "UnrecognizedClientException", message)
    if isinstance(caller, iam.Caller):
        # Only services call for another account than that of their key.
        environ.pop("HTTP_X_MOTO_ACCOUNT_ID", None)
        account = caller.account
    else:
        account = environ.get("HTTP_X_MOTO_ACCOUNT_ID", caller.source_account)
    asked = iam_requests.asked(environ, signed, account)
    about = {"aws:requestedregion": signed.region, "aws:sourceip": environ.get("REMOTE_ADDR")}
    for need in asked.needs:
        decision = iam.decide(caller, need, about)
        if not decision.allowed:
            return iam_refusals.denied(asked.service, asked.protocol, decision.reason, decision.action)
    if asked.is_known or identity.is_operator(caller):
        return None
    action = f"{asked.service}:{asked.operation}"
    _logger.warning("%s is refused to %s: nothing here knows what it needs", action, caller)
    decision = iam.refuse_unknown(caller, action)
    return iam_refusals.denied(asked.service, asked.protocol, decision.reason)
