"""The verification of a promotion record against the endpoint config and the model that it names.

A caller that can write the promotion table could write the record of a promotion that never was, and roll an endpoint
back to it. Therefore the names and tags of the resources must agree. Only the functions of this stage assign them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from promotion.aws.aws_errors import none_if_not_found
from promotion.endpoint import sagemaker as resources
from promotion.errors import PromotionRefusedError
from promotion.naming import endpoint_name, is_resource_name
from promotion.record import PromotionRecord
from promotion.source.tags import APPLICATION_TAG, DIGEST_TAG, EXECUTION_TAG


def assert_names_agree(record: PromotionRecord, endpoint: str, stage: str) -> None:
    """Raise PromotionRefusedError unless the names in a `record` of an endpoint are those of one application."""
    application = record["application"]
    if endpoint_name(application, stage) != endpoint or record["endpoint"] != endpoint:
        raise _refused(record, endpoint, f"it is a record of the application {application}")
    for kind, name in (("endpoint config", record["endpoint_config_name"]), ("model", record["model_name"])):
        if not is_resource_name(name, application, stage):
            raise _refused(record, endpoint, f"the {kind} {name} does not have a name of the application {application}")


def assert_resources_agree(sagemaker: Any, record: PromotionRecord, config: dict[str, Any], executions: str) -> None:
    """Raise PromotionRefusedError unless the endpoint config and the model are those of the `record`.

    `config` is the DescribeEndpointConfig response; `executions` is the common prefix of the ARNs of all executions of
    the stage. Both resources have its tags, and the config serves the model.
    """
    for difference in _differences(sagemaker, record, config, executions):
        raise _refused(record, record["endpoint"], difference)


def _differences(sagemaker: Any, record: PromotionRecord, config: dict[str, Any], executions: str) -> Iterator[str]:
    config_name, model_name = record["endpoint_config_name"], record["model_name"]
    # Of an A/B test, other variants serve other models. The config of a component's endpoint has no model; the
    # component's model has the same name.
    served = {variant.get("ModelName", config_name) for variant in config["ProductionVariants"]}
    if model_name not in served:
        names = ", ".join(sorted(str(name) for name in served))
        yield f"the endpoint config {config_name} serves the model {names}, not {model_name}"
    model = resources.describe_model(sagemaker, model_name)
    if model is None:
        yield f"the model {model_name} does not exist"
        return
    arns = {f"endpoint config {config_name}": config["EndpointConfigArn"], f"model {model_name}": model["ModelArn"]}
    for what, arn in arns.items():
        tags = none_if_not_found(resources.tags, sagemaker=sagemaker, arn=arn) or {}
        for tag, expected in ((APPLICATION_TAG, record["application"]), (DIGEST_TAG, record["digest"])):
            if tags.get(tag) != expected:
                yield f"the tag {tag} of the {what} is {tags.get(tag, 'missing')}, not {expected}"
        if not tags.get(EXECUTION_TAG, "").startswith(executions):
            yield f"the {what} was not created by an execution of this stage, according to its tag {EXECUTION_TAG}"


def _refused(record: PromotionRecord, endpoint: str, difference: str) -> PromotionRefusedError:
    model = record["model_name"]
    return PromotionRefusedError(
        f"The endpoint {endpoint} was not rolled back to the model {model}. The record of that promotion "
        f"in the promotion table differs from its resources: {difference}. Find out who changed the record or the "
        "resources. To deploy another model, promote its source again."
    )
