"""Links to the AWS console, for people who read a notification."""

from __future__ import annotations

import urllib.parse

# AWS Management Console, "Service endpoints for the console" (the domain of each partition).
DOMAINS = {
    "aws": "console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
}


def execution(arn: str) -> str:
    """Return the link to an execution of a state machine."""
    return _page(arn, "states/home", f"/v2/executions/details/{arn}")


def endpoint(arn: str, name: str) -> str:
    """Return the link to the SageMaker endpoint `name` in the region and account of any resource's `arn`."""
    return _page(arn, "sagemaker/home", f"/endpoints/{urllib.parse.quote(name)}")


def automation(arn: str, identifier: str) -> str:
    """Return the link to an Automation execution of Systems Manager, in the region and account of any `arn`."""
    domain, region = _where(arn)
    return f"https://{region}.{domain}/systems-manager/automation/execution/{identifier}?region={region}"


def _page(arn: str, home: str, fragment: str) -> str:
    domain, region = _where(arn)
    return f"https://{region}.{domain}/{home}?region={region}#{fragment}"


def _where(arn: str) -> tuple[str, str]:
    _, partition, _, region, *_ = arn.split(":")
    return DOMAINS.get(partition, DOMAINS["aws"]), region
