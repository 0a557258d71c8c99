"""The demo's story in one account, as `make e2e` plays it in a real one: the stages differ by their names."""

import signal
from pathlib import Path
from typing import Any

import pytest

from embedded_aws.aws import EmbeddedAws
from embedded_aws.iam import clients
from embedded_aws.kernel import accounts
from embedded_aws.services.cloudformation import deploy as cloudformation
from sandbox.stacks import ROOT
from tests.deployed import e2e, prices
from tests.deployed.account import PREFIX, Account

# No rule of the project's other stacks receives events of training jobs of this account.
PRODUCTION = accounts.ACCOUNTS["production"]


BUCKET = "retained-by-e2e"
RETAINING = f"""
Resources:
  Kept:
    Type: AWS::S3::Bucket
    DeletionPolicy: Retain
    Properties: {{BucketName: !Sub '{BUCKET}-${{AWS::AccountId}}'}}
"""


def deploy(_: str, template: Path, stack: str, parameters: dict[str, str]) -> None:
    cloudformation.deploy(template=template, stack_name=stack, account=PRODUCTION, parameters=parameters)


def client(service: str) -> Any:
    return clients.client_as_operator(service, PRODUCTION)


def left() -> list[str]:
    """Return the names of what the story has created and that still exists."""
    sagemaker = client("sagemaker")
    configs = sagemaker.list_endpoint_configs(NameContains="e2e")["EndpointConfigs"]
    names = [
        *(each["StackName"] for each in client("cloudformation").describe_stacks()["Stacks"]),
        *(each["Name"] for each in client("s3").list_buckets()["Buckets"]),
        *(each["RoleName"] for each in client("iam").list_roles(MaxItems=1000)["Roles"]),
        *client("dynamodb").list_tables()["TableNames"],
        *(each["repositoryName"] for each in client("ecr").describe_repositories()["repositories"]),
        *(each["AlarmName"] for each in client("cloudwatch").describe_alarms()["MetricAlarms"]),
        *(each["EndpointName"] for each in sagemaker.list_endpoints(NameContains="e2e")["Endpoints"]),
        *(each["EndpointConfigName"] for each in configs),
        *(each["ModelName"] for each in sagemaker.list_models(NameContains="e2e")["Models"]),
    ]
    # Other tests have random names.
    return [name for name in names if any(own in name for own in (e2e.QA, e2e.PRODUCTION, PREFIX, BUCKET))]


def test_the_story_is_played_in_one_account_and_leaves_nothing(
    aws: EmbeddedAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(aws.config_file))

    code = e2e.main(["--profile", "production", "--scenes", "1,2", "--ledgers", str(tmp_path)], deploy)

    output = capsys.readouterr().out
    assert code == 0, output
    assert "Not deleted" not in output
    assert "The promotion tables and the endpoints agree." in output
    assert left() == []
    assert not list(tmp_path.glob("*.jsonl"))


def test_an_interrupted_deployment_is_deleted(
    aws: EmbeddedAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(aws.config_file))

    retaining = tmp_path / "retaining.yaml"
    retaining.write_text(RETAINING)

    def interrupted(profile: str, template: Path, stack: str, parameters: dict[str, str]) -> None:
        deploy(profile, retaining, stack, {})
        assert f"{BUCKET}-{PRODUCTION}" in left()
        signal.raise_signal(signal.SIGINT)

    assert e2e.main(["--profile", "production", "--ledgers", str(tmp_path)], interrupted) == 130

    assert "Interrupted." in capsys.readouterr().out
    assert left() == []


def test_it_states_its_cost_and_starts_only_with_consent(
    aws: EmbeddedAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(aws.config_file))
    monkeypatch.setattr(Account, "is_embedded", property(lambda _: False, lambda *_: None), raising=False)

    assert e2e.main(["--profile", "production", "--ledgers", str(tmp_path)], deploy) == 2

    output = capsys.readouterr().out
    assert f"about ${prices.total(e2e.COSTS):.2f} at list prices of {prices.AS_OF}" in output
    assert left() == []


def test_sam_cli_deploys_a_template_to_a_profile(aws: EmbeddedAws, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(aws.config_file))

    e2e.deploy_with_sam("production", ROOT / "application.yaml", name, {"Stage": "e2e", "Application": name})

    parameter = client("ssm").get_parameter(Name=f"/model-promotion/e2e/{name}")["Parameter"]
    assert parameter["Value"] == "{}"
    client("cloudformation").delete_stack(StackName=name)
    client("iam").delete_role_policy(RoleName=f"{name}-e2e", PolicyName="Serve")
    client("iam").delete_role(RoleName=f"{name}-e2e")
