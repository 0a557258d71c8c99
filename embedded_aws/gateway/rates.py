"""The request rates of an account: a call that exceeds the rate of its API is throttled, also that of an operator."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from embedded_aws.gateway import refusals, requests
from embedded_aws.iam import clients, decisions
from embedded_aws.kernel.quotas import Limiter


class Rates:
    """A WSGI middleware that passes on only the requests within the rates of their APIs, per account."""

    def __init__(self, application: Any, limiter: Limiter) -> None:
        self._application = application
        self._limiter = limiter

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Pass a request on, or send the service's error for a throttled one."""
        signed = requests.signature(environ)
        caller = clients.who_signed(signed.access_key_id) if signed else None
        if signed and caller:
            account = caller.account if isinstance(caller, decisions.Caller) else caller.source_account
            requested = requests.read_operation(environ, signed, account)
            if not self._limiter.take(account, requested.service, requested.operation):
                refusal = refusals.throttled(requested.service, requested.protocol)
                return refusals.send(refusal, environ, start_response)
        answer: Iterable[bytes] = self._application(environ, start_response)
        return answer
