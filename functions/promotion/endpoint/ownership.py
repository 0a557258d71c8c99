"""The ownership of an endpoint: a promotion updates only an endpoint of its own application.

The tags say whose it is. The roles of the functions can set them only when they create an endpoint, and IAM allows them
no update of an endpoint without the application tag. So an operator has to tag an endpoint that someone else created.
"""

from __future__ import annotations

from typing import Any

from promotion.endpoint.sagemaker import tags as tags_of
from promotion.errors import PromotionRefusedError
from promotion.source.tags import APPLICATION_TAG, EXECUTION_TAG


def assert_own(
    sagemaker: Any, description: dict[str, Any], application: str, settings: dict[str, Any]
) -> dict[str, str]:
    """Return the endpoint's tags; raise PromotionRefusedError unless the endpoint belongs to the application.

    `description` is the DescribeEndpoint response. A promotion of the application created it, or it has the
    application's tag and `settings` permit its adoption.
    """
    name, arn = description["EndpointName"], description["EndpointArn"]
    tags = tags_of(sagemaker, arn)
    owner = tags.get(APPLICATION_TAG)
    if owner == application and (EXECUTION_TAG in tags or settings.get("AdoptExisting")):
        return tags
    if owner not in (None, application):
        raise PromotionRefusedError(
            f"The endpoint {name} belongs to the application {owner}, according to its tag {APPLICATION_TAG}. Choose "
            f"another name for the application {application}."
        )
    raise PromotionRefusedError(
        f"No promotion created the endpoint {name}, so none updates it. To let promotions of {application} update it: "
        f"1. Tag it: aws sagemaker add-tags --resource-arn {arn} --tags Key={APPLICATION_TAG},Value={application} "
        f'2. Add "AdoptExisting": true to the settings of {application}. Then start the promotion again.'
    )
