import pytest

from promotion.messages import console

ARN = "arn:{}:states:{}:222222222222:execution:model-promotion-qa:first"


@pytest.mark.parametrize(
    ("partition", "region", "domain"),
    [
        ("aws", "eu-west-1", "console.aws.amazon.com"),
        ("aws-cn", "cn-north-1", "console.amazonaws.cn"),
        ("aws-us-gov", "us-gov-west-1", "console.amazonaws-us-gov.com"),
    ],
)
def test_links_are_those_of_the_partition_and_the_region(partition: str, region: str, domain: str) -> None:
    arn = ARN.format(partition, region)

    assert console.execution(arn) == (
        f"https://{region}.{domain}/states/home?region={region}#/v2/executions/details/{arn}"
    )
    assert console.endpoint(arn, "reviews-qa") == (
        f"https://{region}.{domain}/sagemaker/home?region={region}#/endpoints/reviews-qa"
    )
    assert console.automation(arn, "a-1") == (
        f"https://{region}.{domain}/systems-manager/automation/execution/a-1?region={region}"
    )
