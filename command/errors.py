"""The exit codes of the command, and the errors that end it with one sentence of instructions."""

from __future__ import annotations

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    ProfileNotFound,
    SSOError,
)

from promotion.aws.aws_errors import Meaning, meaning, message

DONE = 0
"""What was requested is done, or has started."""

NEGATIVE = 1
"""The answer is negative: a promotion failed or was rejected, or a smoke test failed."""

WRONG_USE = 2
"""The arguments, a name or a file is wrong. Nothing was started."""

AWS_FAILED = 3
"""A call of AWS failed, for example because of missing credentials or a missing permission."""

INTERRUPTED = 130
"""The command was interrupted with Ctrl-C. An execution that it started continues."""


class CommandError(Exception):
    """An error that ends the command; the message says what happened and what to do."""

    def __init__(self, message: str, exit_code: int = WRONG_USE) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def explained(error: ClientError | BotoCoreError, stage: str | None) -> CommandError:
    """Return the error of an AWS call with what to do about it; `stage` is the name of the stage, if it is known."""
    if isinstance(error, ProfileNotFound):
        return CommandError(f"{error}. Choose another profile with --profile or AWS_PROFILE.")
    if isinstance(error, NoRegionError):
        return CommandError("No Region is configured. Set it with --region, or in the profile.")
    if isinstance(error, NoCredentialsError | SSOError):
        return CommandError(f"There are no valid AWS credentials ({error}). Set --profile, or sign in.", AWS_FAILED)
    if isinstance(error, ConnectionError | HTTPClientError):
        return CommandError(f"AWS cannot be reached: {error} Check the network and AWS_ENDPOINT_URL.", AWS_FAILED)
    if not isinstance(error, ClientError):
        return CommandError(f"{error}", AWS_FAILED)
    text = f"{error.operation_name}: {message(error)}"
    if meaning(error) is Meaning.DENIED:
        policies = f"model-promotion-{stage or '<stage>'}-viewer, -operator and -approver"
        return CommandError(
            f"You have no permission for {text} The managed policies {policies} contain the permissions of this "
            "command (docs/command.md).",
            AWS_FAILED,
        )
    return CommandError(f"AWS refused a call. {text}", AWS_FAILED)
