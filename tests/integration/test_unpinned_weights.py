"""Values of the environment that are no artifacts, weights that the digest does not pin, and secrets."""

from __future__ import annotations

import json

from tests.support.approvals import waiting_approval
from tests.support.archives import tar_gz
from tests.support.settings import configure
from tests.support.world import DEV_BUCKET, ECHO_LABEL, Lab, Stage

FILES = {
    "label.txt": b"good",
    "code/inference.py": ECHO_LABEL.encode(),
    "serving.properties": b"option.model_id=org/base-model\n",
}
SECRET = "hf_0123456789abcdefghij"  # noqa: S105


def model(lab: Lab, name: str) -> None:
    lab.create_model(
        name,
        ModelDataUrl=lab.upload(f"{name}/model.tar.gz", tar_gz(FILES)),
        Environment={
            "HF_MODEL_ID": "org/model-7b",
            "HF_TOKEN": SECRET,
            "OUTPUT_DIR": f"s3://{DEV_BUCKET}/{name}/outputs/",
        },
    )


def test_an_empty_output_prefix_is_named_and_can_be_kept_or_replaced_by_the_settings(
    lab: Lab, qa: Stage, application: str
) -> None:
    model(lab, application)
    given = {"model": application, "application": application}
    configure(qa, application, SmokeTest="skip")

    refused = qa.promote(given)
    replaced = {"PrimaryContainer": {"Environment": {"OUTPUT_DIR": "/tmp/outputs"}}}  # noqa: S108
    configure(qa, application, SmokeTest="skip", Model=replaced)
    preview = qa.promote(given | {"preview": True})
    configure(qa, application, SmokeTest="skip", KeptVariables=["OUTPUT_DIR"])
    promoted = qa.promote(given)

    assert "Containers[0].Environment.OUTPUT_DIR is s3://" in (refused.cause or "")
    assert "add the variable to KeptVariables in the settings" in (refused.cause or "")
    assert preview.output["would_be"] == "promoted", preview.cause
    assert promoted.status == "SUCCEEDED", promoted.cause
    described = qa.client("sagemaker").describe_model(ModelName=promoted.output["model_name"])
    assert described["PrimaryContainer"]["Environment"]["OUTPUT_DIR"] == f"s3://{DEV_BUCKET}/{application}/outputs/"


def test_weights_that_the_digest_does_not_pin_are_listed_or_refused(
    lab: Lab, qa: Stage, production: Stage, application: str
) -> None:
    model(lab, application)
    given = {"model": application, "application": application}
    named = [
        "Containers[0].Environment.HF_MODEL_ID: fetched at start from the model hub, org/model-7b",
        "Containers[0], option.model_id in serving.properties: fetched at start from the model hub, org/base-model",
    ]

    configure(qa, application, SmokeTest="skip", KeptVariables=["OUTPUT_DIR"], RequirePinnedWeights=True)
    refused = qa.promote(given)
    configure(qa, application, SmokeTest="skip", KeptVariables=["OUTPUT_DIR"])
    preview = qa.promote(given | {"preview": True})
    configure(production, application, SmokeTest="skip", KeptVariables=["OUTPUT_DIR"])
    promoted = qa.promote(given)
    waiting = waiting_approval(production, application)

    assert refused.error == "PromotionRefusedError"
    assert "; ".join(named) in (refused.cause or "")
    assert preview.output["candidate"]["not_pinned"] == named
    assert preview.output["candidate"]["secrets"] == ["Containers[0].Environment.HF_TOKEN"]
    assert SECRET not in str(preview.output)
    live = qa.live(application)
    assert live is not None
    assert json.loads(live["not_pinned"]) == named
    [shown] = waiting["Parameters"]["NotPinned"]
    assert "HF_MODEL_ID: fetched at start from the model hub, org/model-7b" in shown
    assert "in serving.properties: fetched at start from the model hub, org/base-model" in shown
    s3 = qa.client("s3")
    stored = [
        s3.get_object(Bucket=qa.bucket, Key=f"manifests/{promoted.output[digest]}.json")["Body"].read().decode()
        for digest in ("digest", "deployment_digest")
    ]
    assert all("HF_TOKEN" in document and SECRET not in document for document in stored)
