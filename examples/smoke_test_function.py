"""A team's own smoke test, as a Lambda function: compare what each review is with what the model says.

Its role needs sagemaker:InvokeEndpoint for the endpoint. docs/smoke-tests.md describes the event and the answer.
"""

import json

import boto3

REVIEWS = {"a wonderful, brilliant film": "positive", "a dull and boring film": "negative"}

runtime = boto3.client("sagemaker-runtime")


def handler(event: dict, context: object) -> dict:
    """Return whether the variant labels enough of the reviews as people do."""
    response = runtime.invoke_endpoint(
        EndpointName=event["endpoint"],
        TargetVariant=event["variant"],
        ContentType="application/json",
        Accept="application/json",
        Body=json.dumps({"texts": list(REVIEWS)}).encode(),
    )
    labels = json.loads(response["Body"].read())["labels"]
    wrong = sum(label != expected for label, expected in zip(labels, REVIEWS.values(), strict=True))
    return {"passed": wrong == 0, "reason": f"{wrong} of {len(REVIEWS)} reviews have the wrong label"}
