"""Play the demo's story in real accounts: `make e2e`. One account is enough for all stages.

It states its cost and asks before it starts. It deploys two stages of its own, `e2eqa` and `e2eproduction`, trains
models, promotes, approves, rejects and rolls back, checks each result, and deletes everything at the end, also after an
interruption. The exit code is 0 if every result is as expected.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import boto3
from botocore.config import Config

from sandbox.demo import accounts, live
from sandbox.demo.accounts import APPLICATION, DevAccount, OutcomeError, Stage
from sandbox.demo.scenes import Story
from sandbox.demo.screen import Screen
from sandbox.stacks import ROOT
from tests.deployed import prices
from tests.deployed.account import Account, allow, trusting
from tests.deployed.hosting import INSTANCE, LOG, PULL, image
from tests.deployed.ledger import Ledger
from tests.deployed.prices import Cost
from tests.deployed.probe import LEDGERS, agreed, runs

QA, PRODUCTION = "e2eqa", "e2eproduction"
COSTS = (
    # Two endpoints for three hours, and a second fleet during each of eight updates.
    Cost("endpoint instance ml.t2.medium", 2 * 3 + 8 * 0.4),
    Cost("training instance ml.m5.large", 6 * 0.1),
    Cost("KMS key", 8 * 3),
    Cost("KMS request", 2000),
    Cost("state transition", 15 * 60),
    Cost("Automation step", 10),
    Cost("Lambda gigabyte-second", 500),
    Cost("S3 write or list request", 2000),
    Cost("S3 read request", 2000),
    Cost("DynamoDB write request unit", 500),
    Cost("CloudWatch alarm metric", 50 * 3),
    Cost("log gigabyte", 0.01),
)
# Deploys a template as a stack: the profile, the template, the name of the stack and its parameters.
Deploy = Callable[[str, Path, str, dict[str, str]], None]
_CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 8})
# The intervals of the embedded AWS, whose operations take seconds.
_SHORT_INTERVALS = {"PollSeconds": "1", "RetrySeconds": "1", "MaxRetrySeconds": "2", "RecoveryWaitSeconds": "1"}


class _Unattended(Screen):
    """A screen without a user: the run approves what a user of the demo would be asked."""

    @property
    def is_interactive(self) -> bool:
        return False


def deploy_with_sam(profile: str, template: Path, stack: str, parameters: dict[str, str]) -> None:
    """Deploy a template that `make build` has built. Raise CalledProcessError if SAM CLI fails."""
    built = {
        "template.yaml": ROOT / ".aws-sam/build/template.yaml",
        "upstream.yaml": ROOT / ".aws-sam/upstream/template.yaml",
    }
    session = boto3.session.Session(profile_name=profile)
    command = [str(Path(sys.executable).with_name("sam")), "deploy", "--stack-name", stack, "--resolve-s3"]
    command += ["--template-file", str(built.get(template.name, template)), "--capabilities", "CAPABILITY_NAMED_IAM"]
    command += ["--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar"]
    command += ["--profile", profile, "--region", session.region_name]
    command += ["--parameter-overrides", *(f"{name}={value}" for name, value in parameters.items())]
    environment = os.environ | {"SAM_CLI_TELEMETRY": "0"}
    subprocess.run(command, check=True, cwd=ROOT, env=environment)  # noqa: S603 - SAM CLI of this environment


class Accounts:
    """The three accounts, which may be one, and the ledger of all of them."""

    def __init__(self, profiles: dict[str, str], file: Path) -> None:
        self.profiles = profiles
        sessions = {name: boto3.session.Session(profile_name=profile) for name, profile in profiles.items()}
        parts = {name: Account(session, name, file) for name, session in sessions.items()}
        self.dev, self.qa, self.production = parts["dev"], parts["qa"], parts["production"]
        self.ledger = Ledger(file, lambda key: parts[key.partition("/")[0]].client(key.partition("/")[2]))
        for name, account in parts.items():
            account.ledger = self.ledger.of(name)

    def settle(self) -> list[str]:
        """Delete everything that the run has created, and return what could not be deleted."""
        return self.ledger.settle(*((60.0, 0.1) if self.dev.is_embedded else ()))


def main(arguments: Sequence[str] | None = None, deploy: Deploy = deploy_with_sam) -> int:
    """Run the command and return its exit code."""
    options = _parser().parse_args(arguments)
    default = options.profile or os.environ.get("AWS_PROFILE", "default")
    given = {"dev": options.dev_profile, "qa": options.qa_profile, "production": options.production_profile}
    profiles = {name: profile or default for name, profile in given.items()}
    found = Accounts(profiles, options.ledgers / f"e2e-{os.getpid()}.jsonl")
    numbers = f"dev {found.dev.number}, qa {found.qa.number}, production {found.production.number}"
    print(f"The demo's story in {numbers} ({found.dev.region}).")
    if not found.dev.is_embedded:
        print("\n".join(["It costs:", *prices.statement(COSTS), "and takes about three hours."]), flush=True)
        if not (options.yes or agreed()):
            print("Nothing was created.")
            return 2
        accounts.patience.seconds, accounts.patience.poll_seconds = 5400.0, 5.0
    problems = _delete_leftovers(profiles, options.ledgers)
    try:
        return _played(found, deploy, [int(number) for number in options.scenes.split(",") if number])
    except KeyboardInterrupt:
        print("Interrupted.")
        return 130
    finally:
        print("Everything that was created is being deleted…", flush=True)
        for problem in [*problems, *found.settle()]:
            print(f"Not deleted: {problem}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make e2e", description=__doc__)
    parser.add_argument("--profile", default=None, help="the AWS profile of all stages")
    for name in ("dev", "qa", "production"):
        parser.add_argument(
            f"--{name}-profile", default=None, help=f"the AWS profile of {name}, if it is another account"
        )
    parser.add_argument("--scenes", default="", help="the numbers of the scenes, separated by commas; all by default")
    parser.add_argument("--yes", action="store_true", help="start without asking")
    parser.add_argument("--ledgers", type=Path, default=LEDGERS, help=argparse.SUPPRESS)
    return parser


def _delete_leftovers(profiles: dict[str, str], directory: Path) -> list[str]:
    problems: list[str] = []
    for file in sorted(directory.glob("e2e-*.jsonl")):
        if not runs(int(file.stem.rpartition("-")[2])):
            print(f"Deleting what an interrupted run has left ({file.name})…", flush=True)
            problems += Accounts(profiles, file).settle()
    return problems


def _played(found: Accounts, deploy: Deploy, numbers: list[int]) -> int:
    screen = _Unattended()
    try:
        dev = _deploy(found, deploy)
        profiles = found.profiles
        stages = [Stage(profiles["qa"], QA, _CONFIG), Stage(profiles["production"], PRODUCTION, _CONFIG)]
        story = Story(screen, dev, *stages)
        for number, (name, scene) in enumerate(story.scenes, start=1):
            if not numbers or number in numbers:
                screen.title(f"{number}. {name}")
                scene()
        screen.title("Live models")
        live.show(screen, stages)
    except OutcomeError as error:
        screen.failed(f"An unexpected result.\n{error}")
        return 1
    except subprocess.CalledProcessError as error:
        screen.failed(f"A stack could not be deployed: {error}")
        return 1
    return 0


def _deploy(found: Accounts, deploy: Deploy) -> DevAccount:
    """Deploy all stacks in the order of samconfig.toml, register the application, and return the dev account."""
    dev, qa, production, profiles = found.dev, found.qa, found.production, found.profiles
    bucket = dev.bucket("e2e")
    role = dev.role("e2e", _training(dev, bucket), trusting("sagemaker"))
    more = {"InstanceType": INSTANCE} | (_SHORT_INTERVALS if dev.is_embedded else {})
    qa_bucket = f"model-promotion-{QA}-{qa.number}-{qa.region}"
    stacks = [
        ("qa", "template.yaml", f"model-promotion-{QA}", {
            "Stage": QA, "UpstreamAccountId": dev.number, "UpstreamBuckets": bucket,
            "DownstreamAccountId": production.number, "DownstreamStage": PRODUCTION, **more,
        }),
        ("dev", "upstream.yaml", f"model-promotion-upstream-of-{QA}", {
            "DownstreamStage": QA, "DownstreamAccountId": qa.number, "ArtifactBucketName": bucket,
            "CopiedBuckets": bucket,
        }),
        ("production", "template.yaml", f"model-promotion-{PRODUCTION}", {
            "Stage": PRODUCTION, "UpstreamAccountId": qa.number, "UpstreamStage": QA, "UpstreamBuckets": qa_bucket,
            "RequireApproval": "true", "Approvers": production.caller, **more,
        }),
        ("qa", "upstream.yaml", f"model-promotion-upstream-of-{PRODUCTION}", {
            "DownstreamStage": PRODUCTION, "DownstreamAccountId": production.number,
            "SourceBusName": f"model-promotion-{QA}",
        }),
        *((account, "application.yaml", f"model-promotion-{stage}-{APPLICATION}", {
            "Stage": stage, "Application": APPLICATION,
        }) for account, stage in (("qa", QA), ("production", PRODUCTION))),
    ]  # fmt: skip
    for account, template, stack, parameters in stacks:
        found.ledger.of(account).add("cloudformation", "delete_stack", StackName=stack)
        print(f"Deploying {stack}…", flush=True)
        deploy(profiles[account], ROOT / template, stack, parameters)
    _record_deletions(qa, QA)
    _record_deletions(production, PRODUCTION)
    return DevAccount(profiles["dev"], "dev", _CONFIG, bucket=bucket, role=role, image=image(dev.region))


def _record_deletions(account: Account, stage: str) -> None:
    """Record the deletion of everything that promotions into a stage create."""
    endpoint = f"{APPLICATION}-{stage}"
    account.ledger.add("cloudwatch", "delete_alarms_with_prefix", Prefix=f"{endpoint}-")
    account.ledger.add("sagemaker", "delete_models_and_configs", Prefix=f"{endpoint}-")
    account.ledger.add("logs", "delete_log_group", logGroupName=f"/aws/sagemaker/Endpoints/{endpoint}")
    account.ledger.add("sagemaker", "delete_endpoint", EndpointName=endpoint)
    # First, so that no execution continues. Those that are running are stopped by it.
    machine = account.arn("states", f"stateMachine:model-promotion-{stage}")
    account.ledger.add("stepfunctions", "delete_state_machine", stateMachineArn=machine)


def _training(dev: Account, bucket: str) -> list[dict[str, object]]:
    arns = [f"arn:{dev.partition}:s3:::{bucket}", f"arn:{dev.partition}:s3:::{bucket}/*"]
    return [allow(["s3:GetObject", "s3:PutObject", "s3:ListBucket"], arns), allow(LOG), allow(PULL)]


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
