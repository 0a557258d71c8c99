"""The command model-promotion, run in this process with the profile of an account of the embedded AWS."""

from __future__ import annotations

import contextlib
import io
import json
import os
from typing import Any, NamedTuple
from unittest import mock

from command import __main__ as command
from embedded_aws.aws import EmbeddedAws


class Printed(NamedTuple):
    """What the command printed, and its exit code."""

    code: int
    out: str
    error: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def run(aws: EmbeddedAws, profile: str, *arguments: str) -> Printed:
    """Run the command with the profile of an account's operator."""
    out, error = io.StringIO(), io.StringIO()
    # Not AWS_PROFILE, which the embedded AWS would use, too: it runs in the same process.
    with (
        mock.patch.dict(os.environ, {"AWS_CONFIG_FILE": str(aws.config_file)}),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(error),
    ):
        code = command.main([*arguments, *(["--profile", profile] if profile else [])])
    return Printed(code, out.getvalue(), error.getvalue())
