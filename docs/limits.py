"""Write the request rates of the embedded AWS as a table into docs/limits.md: `make docs`."""

from __future__ import annotations

import re
from pathlib import Path

from embedded_aws.kernel.quotas import ESTABLISHED_ACCOUNT, NEW_ACCOUNT, RATES

PAGE = Path(__file__).parent / "limits.md"
_TABLE = re.compile("<!-- rates -->\n.*?<!-- end of the rates -->", re.DOTALL)
_SERVICES = {
    "application-autoscaling": "Application Auto Scaling",
    "ecr": "ECR",
    "events": "EventBridge",
    "iam": "IAM",
    "monitoring": "CloudWatch",
    "s3": "S3",
    "sagemaker": "SageMaker",
    "ssm": "Systems Manager",
    "states": "Step Functions",
    "sts": "STS",
}


def table() -> str:
    """Return the quotas as a Markdown table."""
    lines = ["| Service | Quota | Per second | At once | Source |", "|---|---|---|---|---|"]
    new, established = NEW_ACCOUNT, ESTABLISHED_ACCOUNT
    for quotas in (new, established):
        lines.append(f"| Lambda | functions ({quotas.name}) | | {quotas.functions:,} | {quotas.functions_source} |")
    automations = f"{new.automations:,}, {new.queued:,} more wait"
    lines.append(f"| Systems Manager | automations | | {automations} | {new.automations_source} |")
    for (service, operation), rate in sorted(RATES.items(), key=lambda each: (_SERVICES[each[0][0]], each[0][1])):
        name = "any other operation" if operation == "*" else f"`{operation}`"
        source = f"**{rate.source}**" if rate.source == "assumed" else rate.source
        lines.append(f"| {_SERVICES[service]} | {name} | {rate.per_second:,g} | {rate.burst:,g} | {source} |")
    return "\n".join(lines)


def with_table(page: str) -> str:
    """Return `page` with the current table between its marks."""
    return _TABLE.sub(lambda _: f"<!-- rates -->\n{table()}\n<!-- end of the rates -->", page)


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
