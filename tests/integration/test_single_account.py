"""Everything works inside one account, in which the stages differ by their names."""

from collections.abc import Iterator

import pytest

from embedded_aws.aws import EmbeddedAws
from embedded_aws.services.cloudformation import deploy as cloudformation
from sandbox import stacks as project
from tests.support.settings import register
from tests.support.world import DEV, DEV_BUCKET, Lab, Stage

FAST = {"PollSeconds": "1", "RetrySeconds": "1"}


@pytest.fixture(scope="module")
def stages(stacks: EmbeddedAws) -> Iterator[list[Stage]]:
    """Deploy two stages in the training account: promotions into `first` continue to `second`."""

    def deploy(template: str, name: str, **parameters: str) -> None:
        path = project.ROOT / template
        cloudformation.deploy(template=path, stack_name=name, account=DEV, parameters=parameters)

    first = {"Stage": "first", "UpstreamAccountId": DEV, "UpstreamBuckets": DEV_BUCKET} | FAST
    second = {"Stage": "second", "UpstreamAccountId": DEV, "UpstreamStage": "first"}
    second |= {"UpstreamBuckets": f"model-promotion-first-{DEV}-eu-west-1"}
    downstream = {"DownstreamAccountId": DEV}
    deploy("template.yaml", "model-promotion-first", **first, **downstream, DownstreamStage="second")
    deploy("template.yaml", "model-promotion-second", **second, **FAST)
    deploy("upstream.yaml", "model-promotion-upstream-of-first", **downstream, DownstreamStage="first")
    deploy(
        "upstream.yaml",
        "model-promotion-upstream-of-second",
        **downstream,
        DownstreamStage="second",
        SourceBusName="model-promotion-first",
    )
    yield [Stage("first", DEV), Stage("second", DEV)]

    # Or every later training job of this process would be promoted here as well.
    cloudformation.delete(stack_name="model-promotion-upstream-of-first", account=DEV)


def test_a_model_is_promoted_through_both_stages_of_one_account(
    lab: Lab, stages: list[Stage], application: str
) -> None:
    first, second = stages
    register(first, application)
    register(second, application)
    job = lab.train(application, "good")

    into_first = first.execution_of(job)
    assert into_first.status == "SUCCEEDED", into_first.cause
    into_second = second.execution_of(into_first.output["model_name"])

    assert into_second.status == "SUCCEEDED", into_second.cause
    assert first.answer(application) == second.answer(application) == {"label": "good"}
    assert len(first.executions_with(into_first.output["model_name"])) == 0
    assert into_second.output["source_arn"] == into_first.output["source_arn"]
