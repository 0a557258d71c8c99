"""The stack of a stage, deployed with other parameters for a while."""

import contextlib
from collections.abc import Iterator

from embedded_aws.services.cloudformation import deploy as cloudformation
from sandbox import stacks
from tests.support.world import Stage


@contextlib.contextmanager
def deployed_with(stage: Stage, **parameters: str) -> Iterator[None]:
    [stack] = stage.client("cloudformation").describe_stacks(StackName=stage.stack)["Stacks"]
    before = {parameter["ParameterKey"]: parameter["ParameterValue"] for parameter in stack["Parameters"]}

    def deploy(given: dict[str, str]) -> None:
        cloudformation.deploy(
            template=stacks.ROOT / "template.yaml",
            stack_name=stage.stack,
            account=stage.account,
            parameters=given,
        )

    deploy(parameters)
    try:
        yield
    finally:
        deploy({key: before[key] for key in parameters})
