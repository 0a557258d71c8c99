"""The output of containers in CloudWatch Logs, written with the permissions of the execution role.

Without logs:CreateLogStream and logs:PutLogEvents there is no log, and everything else works
(https://docs.aws.amazon.com/sagemaker/latest/dg/logging-cloudwatch.html).
"""

from __future__ import annotations

import threading
import time
from typing import Any

from botocore.exceptions import ClientError

from embedded_aws.services.sagemaker import execution_roles


class LogStream:
    """One log stream, created with its first line."""

    def __init__(self, role_arn: str, group: str, stream: str) -> None:
        self.group = group
        self.stream = stream
        self._role_arn = role_arn
        self._logs: Any = None
        self._lock = threading.Lock()

    def write(self, *lines: str) -> None:
        """Write lines as log events. Ignore empty lines and a missing permission."""
        now = int(time.time() * 1000)
        events = [{"timestamp": now, "message": line} for line in lines if line.strip()]
        if not events:
            return
        with self._lock:
            try:
                self._open().put_log_events(logGroupName=self.group, logStreamName=self.stream, logEvents=events)
            except execution_roles.RoleError:
                return
            except ClientError as error:
                if not error.response["Error"]["Code"].startswith("AccessDenied"):
                    raise

    def _open(self) -> Any:
        if self._logs is None:
            logs = execution_roles.client("logs", self._role_arn)
            for create, names in (
                (logs.create_log_group, {"logGroupName": self.group}),
                (logs.create_log_stream, {"logGroupName": self.group, "logStreamName": self.stream}),
            ):
                try:
                    create(**names)
                except logs.exceptions.ResourceAlreadyExistsException:
                    continue
            self._logs = logs
        return self._logs
