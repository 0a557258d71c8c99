"""Check the templates as CloudFormation gets them: `python -m checks`, in the environment of this folder.

Most faults of a policy or a definition are visible only after SAM's translation. The translated templates, with the
definition of the state machine as an object, are written to .aws-sam/checks for cfn-lint, checkov and parliament.
"""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import tomllib
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml
from samtranslator.public.translator import ManagedPolicyLoader
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

from embedded_aws.services.cloudformation.templates import Template
from tests.linter import Project

ROOT = Path(__file__).parent.parent
TRANSLATED = ROOT / ".aws-sam/checks"
TEMPLATES = ["template.yaml", "application.yaml", "upstream.yaml", "people.yaml"]
REGION, ACCOUNT = "eu-west-1", "222222222222"

# The ARNs that `Ref` and `Fn::GetAtt` resolve to, by resource type.
_ARNS = {
    "AWS::CloudWatch::Alarm": "cloudwatch:{region}:{account}:alarm:{name}",
    "AWS::DynamoDB::Table": "dynamodb:{region}:{account}:table/{name}",
    "AWS::ECR::Repository": "ecr:{region}:{account}:repository/{name}",
    "AWS::Events::EventBus": "events:{region}:{account}:event-bus/{name}",
    "AWS::Events::Rule": "events:{region}:{account}:rule/{name}",
    "AWS::IAM::Role": "iam::{account}:role/{name}",
    "AWS::KMS::Key": "kms:{region}:{account}:key/11111111-2222-3333-4444-555555555555",
    "AWS::Lambda::Function": "lambda:{region}:{account}:function:{name}",
    "AWS::Logs::LogGroup": "logs:{region}:{account}:log-group:{name}:*",
    "AWS::S3::Bucket": "s3:::{name}",
    "AWS::SNS::Topic": "sns:{region}:{account}:{name}",
    "AWS::SQS::Queue": "sqs:{region}:{account}:{name}",
    "AWS::StepFunctions::StateMachine": "states:{region}:{account}:stateMachine:{name}",
}
_REFERENCED_BY_ARN = {"AWS::SNS::Topic", "AWS::StepFunctions::StateMachine"}


class _Deployed:
    """The resources of a template, with the names that they could have after deployment."""

    def __init__(self, resources: dict[str, Any]) -> None:
        self._types = {name: resource["Type"] for name, resource in resources.items()}

    def reference(self, logical_id: str) -> str:
        by_arn = self._types[logical_id] in _REFERENCED_BY_ARN
        return self.attribute(logical_id, "Arn") if by_arn else logical_id.lower()

    def attribute(self, logical_id: str, name: str) -> str:
        if not name.endswith("Arn"):
            return logical_id.lower()
        arn = _ARNS[self._types[logical_id]].format(region=REGION, account=ACCOUNT, name=logical_id.lower())
        return f"arn:aws:{arn}"


# Findings of parliament that are accepted: a pattern for each, and the reason.
_ACCEPTED = {
    # SAM writes the policy of a failure's destination without a version.
    r"(NotifyOperators|RegisterModel|WatchPromotions)FunctionRole: NO_VERSION": "the default, 2008-10-17, suffices",
    r"RESOURCE_MISMATCH: .*states:\*:\*:express": "only executions of express state machines have that ARN",
    r"RESOURCE_MISMATCH: .*sagemaker:(Create|Update)Endpoint": "endpoint and config are in separate statements",
    r"RESOURCE_MISMATCH: .*states:ListExecutions.*mapRun": "only the executions of a map run have that ARN",
    r"INVALID_ARN: .*:aws:transform/": "the account of a transform of AWS is aws",
    r"RESOURCE_STAR: .*cloudwatch:DescribeAlarms": "composite alarms require permission for all alarms",
    r"RESOURCE_STAR: .*logs:PutLogEvents": "log delivery is granted as Step Functions documents it",
}


def translate(name: str) -> Path:
    """Write a template as SAM translates it, including the definition of its state machine; return the path."""
    document = yaml_parse((ROOT / name).read_text())
    machines = []
    for logical_id, resource in document["Resources"].items():
        if resource["Type"] == "AWS::Serverless::StateMachine":
            machines.append(logical_id)
            resource["Properties"]["DefinitionUri"] = "s3://bucket/definition"
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://bucket/code"
    translated = transform(document, {}, ManagedPolicyLoader(None))
    for logical_id in machines:
        properties = translated["Resources"][logical_id]["Properties"]
        del properties["DefinitionS3Location"]
        # cfn-lint knows integrations in this partition only.
        properties["Definition"] = yaml.safe_load(Project.read().substituted().replace("${Partition}", "aws"))
    TRANSLATED.mkdir(parents=True, exist_ok=True)
    written = TRANSLATED / Path(name).with_suffix(".json").name
    written.write_text(json.dumps(translated, indent=1, default=str))
    return written


def policies() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the place and document of every policy, for every environment of samconfig.toml."""
    for environment, config in tomllib.loads((ROOT / "samconfig.toml").read_text()).items():
        deployment = config.get("deploy", {}).get("parameters", {}) if isinstance(config, dict) else {}
        if "stack_name" not in deployment:
            continue
        name = Path(deployment.get("template_file", "template.yaml")).with_suffix(".json").name
        document = json.loads((TRANSLATED / name).read_text())
        parameters = dict(pair.split("=", 1) for pair in deployment["parameter_overrides"])
        pseudo = {"AWS::Region": REGION, "AWS::AccountId": ACCOUNT, "AWS::StackName": deployment["stack_name"]}
        template = Template(document, parameters, pseudo)
        deployed = _Deployed(template.resources)
        for logical_id, resource in template.resources.items():
            for found in _documents(resource.get("Properties", {})):
                yield f"{environment}: {logical_id}", template.resolve(found, deployed)


def _documents(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        for item in value:
            yield from _documents(item)
    elif isinstance(value, dict):
        if "Statement" in value:
            yield value
        else:
            for item in value.values():
                yield from _documents(item)


def parliament_findings() -> Iterator[str]:
    """Yield the findings of parliament in identity-based policies; it does not support resource-based ones."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from parliament import analyze_policy_string, enhance_finding
    for where, policy in policies():
        if any("Principal" in statement for statement in policy["Statement"]):
            continue
        for found in map(enhance_finding, analyze_policy_string(json.dumps(policy, default=str)).findings):
            text = f"{where}: {found.issue}: {found.title} {found.detail} {found.location.get('string', '')}"
            if not any(re.search(pattern, text) for pattern in _ACCEPTED):
                yield text


def run(*command: str) -> tuple[bool, str]:
    """Run a checker of this Python environment; return whether it found nothing, and its output."""
    done = subprocess.run(  # noqa: S603
        [Path(sys.executable).parent / command[0], *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"


def parliament() -> tuple[bool, str]:
    findings = list(parliament_findings())
    return not findings, "".join(f"{line}\n" for line in ["parliament", *findings])


def main() -> None:
    os.environ["AWS_DEFAULT_REGION"] = REGION
    logging.disable(logging.WARNING)  # samtranslator warns that it has no metrics publisher
    translated = [str(translate(name).relative_to(ROOT)) for name in TEMPLATES]
    checkers = [
        ["checkov", "--config-file", "checks/checkov.yaml", "--framework", "cloudformation", "--skip-download",
         "--compact", "--quiet", "--file", *translated],
        ["cfn-lint", "--include-checks", "I", "--template", *TEMPLATES],
        ["cfn-lint", "--include-checks", "I", "--template", *translated],
        # Tracing of functions (WS1000): the execution history shows their calls. A log group for each function
        # (WS1004): all functions share one, which has a retention.
        ["cfn-lint", "--append-rules", "cfn_lint_serverless.rules", "--ignore-checks", "WS1000", "WS1004",
         "--template", *TEMPLATES],
    ]  # fmt: skip
    with ThreadPoolExecutor(max_workers=os.process_cpu_count()) as pool:
        ended = [*pool.map(lambda command: run(*command), checkers), parliament()]
    for passed, printed in ended:
        print(printed, end="" if passed else "\n", flush=True)
    sys.exit(0 if all(passed for passed, _ in ended) else 1)


if __name__ == "__main__":
    main()
