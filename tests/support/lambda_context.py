"""The context that Lambda passes to a handler."""

from types import SimpleNamespace

CONTEXT = SimpleNamespace(
    function_name="step",
    memory_limit_in_mb=512,
    invoked_function_arn="arn",
    aws_request_id="request",
    get_remaining_time_in_millis=lambda: 900_000,
)
