"""The authorization of every request by IAM, and the responses to requests that moto does not implement."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from embedded_aws.gateway import refusals, requests
from embedded_aws.iam import clients, decisions

_logger = logging.getLogger(__name__)
# The page that moto's web framework sends for a path without a handler.
_PAGE = "text/html"


class Gate:
    """A WSGI middleware that passes on only the requests that IAM allows."""

    def __init__(self, application: Any) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Authorize a request and pass it on, or send AWS's error response."""
        refusal, requested, withheld = _refusal(environ)
        if refusal is None:
            return self._answer(environ, start_response, requested, withheld)
        return refusals.send(refusal, environ, start_response)

    def _answer(
        self, environ: dict[str, Any], start_response: Any, requested: requests.Operation, withheld: set[str]
    ) -> Iterable[bytes]:
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start(status: str, headers: list[tuple[str, str]], _: object = None) -> None:
            started.append((status, headers))

        reason = ""
        try:
            answer: Iterable[bytes] = self._application(environ, start)
        except RuntimeError as error:
            # NotModeledError, or what moto raises for an operation that it lacks; both are subclasses.
            if type(error) in (RuntimeError, RecursionError):
                raise
            # moto's own reason only repeats the name of the operation.
            reason = "" if "has not been implemented" in str(error) else str(error)
        else:
            [(status, headers)] = started
            is_page = dict(headers).get("Content-Type", "").startswith(_PAGE)
            if not (is_page and status.startswith(("404", "405")) and requested.service != "s3"):
                start_response(status, [header for header in headers if header[0].lower() not in withheld])
                return answer
        refusal = refusals.unimplemented(requested.service, requested.operation, requested.protocol, reason)
        return refusals.send(refusal, environ, start_response)


def _refusal(environ: dict[str, Any]) -> tuple[refusals.Answer | None, requests.Operation, set[str]]:
    """Return the refusal of a request, or None; the requested operation; the headers that the response omits."""
    unread = requests.Operation("", "unknown", "json", [], False)
    signed = requests.signature(environ)
    if signed is None:
        return refusals.answer("", "rest-xml", "AccessDenied", "The request is not signed."), unread, set()
    caller = clients.who_signed(signed.access_key_id)
    if caller is None:
        message = "The security token included in the request is invalid."
        return refusals.answer(signed.service, "json", "UnrecognizedClientException", message), unread, set()
    if isinstance(caller, decisions.Caller):
        # Only services call resources of an account other than that of their key.
        environ.pop("HTTP_X_MOTO_ACCOUNT_ID", None)
        account = caller.account
    else:
        account = environ.get("HTTP_X_MOTO_ACCOUNT_ID", caller.source_account)
    requested = requests.read_operation(environ, signed, account)
    about = {"aws:requestedregion": signed.region, "aws:sourceip": environ.get("REMOTE_ADDR")}
    withheld: set[str] = set()
    for need in requested.needs:
        decision = decisions.decide(caller, need, about)
        if need.header and not decision.allowed:
            withheld.add(need.header)
        elif not decision.allowed:
            refusal = refusals.denied(requested.service, requested.protocol, decision.reason, decision.action)
            return refusal, requested, set()
    if requested.is_known or clients.is_operator(caller):
        return None, requested, withheld
    action = f"{requested.service}:{requested.operation}"
    _logger.warning("%s is denied to %s, because the permissions that it requires are unknown", action, caller)
    decision = decisions.deny_unknown(caller, action)
    return refusals.denied(requested.service, requested.protocol, decision.reason), requested, set()
