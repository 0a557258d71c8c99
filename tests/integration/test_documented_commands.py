"""The commands of the AWS CLI in the documentation run, in the shell and with the CLI of AWS.

Names that they make up do not exist here. AWS then says so; the CLI must have accepted the command and sent it.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded_aws.aws import EmbeddedAws
from tests.support import documented, toolkits
from tests.support.documented import ROOT
from tests.support.world import Stage

pytestmark = toolkits.installed

VARIABLES = "docs/operating.md"
# The account in which the commands of a page run. Where they delete stacks, there are none of these names.
PROFILES = {
    "docs/deploying.md": "dev",
    "docs/events.md": "production",
    "docs/limits.md": "production",
    "docs/operating.md": "production",
    "docs/outcomes.md": "dev",
}
PLACEHOLDERS = {
    "<ARN>": "${STATE_MACHINE/stateMachine/execution}:nothing",
    "<execution>": "${STATE_MACHINE/stateMachine/execution}:nothing",
    "<config>": "reviews-production-1",
    "<id>": "11111111-2222-3333-4444-555555555555",
    "<ReceiptHandle>": "AQEB",
    "<repository>": "nothing",
    "<model name>": "reviews-production-1",
    "<why>": "fine",
    "<the output StateMachineArn>": "$STATE_MACHINE",
    # Any topic of that stack, which has the one of the output only if its outcomes are switched on.
    "<the output OutcomesTopicArn>": "$(STACK=model-promotion-upstream-of-qa; output NotificationsTopicArn)",
}
# What AWS answers about names that do not exist.
REFUSED = {
    # The page runs in an account other than that of the stage.
    "aws stepfunctions list-executions --status-filter RUNNING": "An error occurred (AccessDeniedException)",
    "aws stepfunctions describe-execution": "An error occurred (ExecutionDoesNotExist)",
    "aws sagemaker describe-endpoint": "An error occurred (ValidationException)",
    "aws sagemaker update-endpoint": "An error occurred (ValidationException)",
    "aws sagemaker create-endpoint": "An error occurred (ValidationException)",
    "aws sagemaker add-tags": "An error occurred (ValidationException)",
    "aws sagemaker list-tags": "An error occurred (ValidationException)",
    # The CLI uses the host in the URL of the queue, which is AWS's.
    "aws sqs": "Could not connect to the endpoint URL",
    "aws ssm get-automation-execution": "An error occurred (AutomationExecutionNotFoundException)",
    "aws ssm send-automation-signal": "An error occurred (AutomationExecutionNotFoundException)",
    "aws ecr set-repository-policy": "An error occurred (RepositoryNotFoundException)",
    # The embedded AWS does not have it.
    "aws ssm update-service-setting": "An error occurred (UnknownOperationException)",
}
# Only version 2 of the CLI has it, which is in no package registry. Its options:
# https://docs.aws.amazon.com/cli/latest/reference/logs/tail.html
TAIL = re.compile(
    r"aws logs tail \S+( --since \d+[smhdw]| --filter-pattern '[^']+'| --follow| --format (detailed|short))*"
)

BLOCKS = [block for block in documented.shell() if any(re.match(r"(\w+=\$\()?aws ", each) for each in block.commands)]
FUNCTION = """
aws() {
  printf '%s\\0' "$PROFILE" "$PWD" "$@" > "$CLI/arguments"
  echo "$CLI/arguments" > "$CLI/request"
  cat "$CLI/done" > /dev/null
  cat "$CLI/stdout"
  cat "$CLI/stderr" >&2
  return "$(cat "$CLI/code")"
}
"""


@pytest.fixture(scope="module")
def cli(aws: EmbeddedAws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a shell, in which `aws` is answered by one process."""
    directory = tmp_path_factory.mktemp("cli")
    for name in ("request", "done"):
        os.mkfifo(directory / name)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "AWS_CONFIG_FILE": str(aws.config_file),
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
        "CLI": str(directory),
    }
    program = ROOT / "tests/oracles/cli.py"
    with subprocess.Popen(  # noqa: S603
        [str(toolkits.INTERPRETER), "-W", "ignore", str(program), str(directory)], cwd=ROOT, env=environment
    ) as process:
        yield environment
        process.kill()


def run(page: str, environment: dict[str, str]) -> list[tuple[str, int, str]]:
    """Run the commands of a page one after another in one shell; return each with its exit code and its errors."""
    [variables] = [each.text for each in documented.shell() if each.page == VARIABLES and "STAGE=" in each.text]
    commands = [each for block in BLOCKS if block.page == page and block.text != variables for each in block.commands]
    script = [FUNCTION, variables, f"PROFILE={PROFILES.get(page, 'qa')}"]
    for number, command in enumerate(commands):
        for placeholder, value in PLACEHOLDERS.items():
            command = command.replace(placeholder, value)
        if not TAIL.fullmatch(command):
            script.append(f"{{ {command}\n}} > out-{number} 2> err-{number}; echo $? > code-{number}")
    script.append('test -n "$STATE_MACHINE" && test -n "$TABLE"')
    folder = Path(environment["CLI"]) / page.replace("/", "-")
    folder.mkdir()
    for name in ("application.yaml", "events"):
        (folder / name).symlink_to(ROOT / name)
    # A page about events shows the pattern of its rule first.
    documents = [block.text for block in documented.fenced() if (block.page, block.language) == (page, "json")]
    (folder / "pattern.json").write_text(documents[0] if documents else "")
    subprocess.run(  # noqa: S603
        ["/bin/bash", "-c", "\n".join(script)],
        cwd=folder,
        env=environment | {"PROFILE": PROFILES[VARIABLES]},
        check=True,
        timeout=600,
    )
    return [
        (command, int((folder / f"code-{number}").read_text()), (folder / f"err-{number}").read_text())
        for number, command in enumerate(commands)
        if (folder / f"code-{number}").exists()
    ]


def test_every_documented_command_of_the_aws_cli_runs(qa: Stage, production: Stage, cli: dict[str, str]) -> None:
    pages = dict.fromkeys(block.page for block in BLOCKS)
    results = [(page, *result) for page in pages for result in run(page, cli)]

    wrong = []
    for page, command, code, errors in results:
        expected = next((error for start, error in REFUSED.items() if command.startswith(start)), None)
        if not (expected in errors if expected else code == 0):
            wrong.append(f"{page}: {command}: {code} {errors}")
    assert len(results) > 25
    assert not wrong, "\n".join(wrong)
