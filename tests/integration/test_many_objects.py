"""A prefix of many small objects: the payload of the state machine does not grow, and nothing is copied twice."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from embedded_aws.services.stepfunctions import api as step_functions
from tests.support.settings import configure
from tests.support.world import DEV_BUCKET, ECHO_LABEL, Lab, Stage

# What grows with the number of objects is the list of batches alone. How 20,000 are planned and copied by the steps is
# shown by a unit test; here is what the state machine makes of them.
OBJECTS = 200
IN_FULL = 20_000
BATCH = '{"start": 10000000, "end": 10000000}, '
LIMIT = 32 * 1024


def payloads(stage: Stage, arn: str) -> list[str]:
    """Return every input and output in the history of an execution."""
    pages = stage.client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=arn)
    details = [value for page in pages for event in page["events"] for value in event.values()]
    details = [detail for detail in details if isinstance(detail, dict)]
    return [detail[key] for detail in details for key in ("input", "output", "parameters") if key in detail]


def handled(stage: Stage, arn: str) -> int:
    """Return the number of objects that the batches of an execution copied or found."""
    pages = stage.client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=arn)
    exits = [event.get("stateExitedEventDetails", {}) for page in pages for event in page["events"]]
    summaries = [json.loads(each["output"]) for each in exits if each.get("name") == "Copy batch"]
    # A request that is repeated on a busy machine counts as a copy, even if an earlier promotion made the object.
    return sum(summary["copied"] + summary["already_present"] for summary in summaries)


def test_an_object_added_after_the_plan_is_not_part_of_the_model(lab: Lab, qa: Stage, application: str) -> None:
    files = {"label.txt": "planned", "code/inference.py": ECHO_LABEL, "shards/1.bin": "1"}
    for name, text in files.items():
        lab.upload(f"{application}/{name}", text.encode())
    prefix = {"S3Uri": f"s3://{DEV_BUCKET}/{application}/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    lab.create_model(application, ModelDataSource={"S3DataSource": prefix})
    configure(qa, application, SmokeTest="skip")

    def add(execution: Any, state: str) -> None:
        if state == "Copy artifacts" and application in execution.execution_input:
            lab.upload(f"{application}/shards/2.bin", b"2")

    with step_functions.watched(add):
        execution = qa.promote({"model": application, "application": application})

    assert execution.states[-1] == "Promoted", execution.cause
    folder = f"models/{application}/{execution.output['digest']}/"
    found = qa.client("s3").list_objects_v2(Bucket=qa.bucket, Prefix=folder)["Contents"]
    assert sorted(each["Key"].split("/S3Uri/")[-1] for each in found) == sorted(files)
    assert execution.output["objects"] == len(files)
    # With it, it is another model.
    again = qa.promote({"model": application, "application": application})
    assert again.output["digest"] != execution.output["digest"]
    assert again.output["objects"] == len(files) + 1


def test_a_prefix_of_many_objects_has_a_small_payload_and_is_copied_once(lab: Lab, qa: Stage, application: str) -> None:
    files = {f"shards/{number:05}.bin": str(number) for number in range(OBJECTS)}
    files |= {"label.txt": "many", "code/inference.py": ECHO_LABEL}
    s3 = lab.client("s3")

    def put(name: str) -> None:
        s3.put_object(Bucket=DEV_BUCKET, Key=f"{application}/{name}", Body=files[name].encode())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, files))
    prefix = {"S3Uri": f"s3://{DEV_BUCKET}/{application}/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    lab.create_model(application, ModelDataSource={"S3DataSource": prefix})
    configure(qa, application, SmokeTest="skip")
    asked = {"model": application, "application": application}

    first = qa.promote(asked)
    again = qa.promote(asked)

    assert first.status == "SUCCEEDED", first.cause
    assert qa.answer(application) == {"label": "many"}
    assert handled(qa, first.arn) == len(files)
    assert again.status == "SUCCEEDED", again.cause
    assert handled(qa, again.arn) == len(files)
    versions = (
        qa.client("s3")
        .get_paginator("list_object_versions")
        .paginate(Bucket=qa.bucket, Prefix=f"models/{application}/")
    )
    assert sum(len(page["Versions"]) for page in versions) == len(files)
    further = len(BATCH) * IN_FULL // 1_000
    assert max(len(text) for text in payloads(qa, first.arn)) + further < LIMIT
