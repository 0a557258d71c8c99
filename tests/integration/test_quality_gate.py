"""A candidate that does not pass the quality gate is rejected with the numbers."""

from __future__ import annotations

import json
from typing import Any

from tests.support.approvals import signal, waiting_approval
from tests.support.settings import configure
from tests.support.sources import approve, tags
from tests.support.world import IMAGE, Lab, Stage


def set_gate(stage: Stage, application: str, *rules: dict[str, Any]) -> None:
    configure(stage, application, QualityGate=rules)


def test_a_candidate_below_the_minimum_is_rejected_before_anything_is_created(
    lab: Lab, qa: Stage, application: str
) -> None:
    set_gate(qa, application, {"MetricName": "accuracy", "Minimum": 0.9}, {"MetricName": "loss", "Maximum": 0.2})

    execution = qa.execution_of(lab.train(application, "poor", metrics={"accuracy": 0.81, "loss": 0.1}))
    without = qa.execution_of(lab.train(application, "silent"))

    assert execution.states[-2:] == ["Publish rejection", "Rejected"], execution.cause
    assert execution.output["reason"] == (
        "The candidate does not pass the quality gate: accuracy is 0.81, but the minimum is 0.9."
    )
    assert "Copy artifacts" not in execution.states
    assert without.states[-1] == "Rejected"
    assert "it has no metric accuracy; it has no metrics" in without.output["reason"]
    assert qa.endpoint(application) is None
    assert qa.client("sagemaker").list_models(NameContains=application)["Models"] == []


def test_production_compares_the_model_of_qa_with_its_live_model(
    lab: Lab, qa: Stage, production: Stage, application: str
) -> None:
    set_gate(production, application, {"MetricName": "f1", "Type": "Maximize", "NotWorseThanLiveBy": 0.05})
    first = qa.execution_of(lab.train(application, "first", metrics={"f1": 0.9}))
    assert first.status == "SUCCEEDED", first.cause
    waiting = waiting_approval(production, application)["AutomationExecutionId"]
    signal(production, waiting, "Approve", "fine")
    approved = production.execution_of(waiting)
    assert approved.status == "SUCCEEDED", approved.cause

    worse = qa.execution_of(lab.train(application, "worse", metrics={"f1": 0.84})).output
    in_production = production.execution_of(worse["model_name"])

    assert approved.output["metrics"] == {"f1": 0.9}
    assert "no model is live" in approved.output["quality_gate"][0]["reason"]
    assert in_production.states[-1] == "Rejected", in_production.cause
    assert "f1 is 0.84, but" in in_production.output["reason"]
    assert "has 0.9, and it may be worse by 0.05 at most" in in_production.output["reason"]
    assert "Request approval" not in in_production.states
    assert production.answer(application) == {"label": "first"}


def test_the_metrics_of_a_package_are_those_of_its_file(lab: Lab, qa: Stage, application: str) -> None:
    set_gate(qa, application, {"MetricName": "mse", "Maximum": 5})
    url = lab.upload(f"{application}/model.tar.gz", lab.artifact("v1"))
    quality = {"regression_metrics": {"mse": {"value": 4.9, "standard_deviation": 0.1}}}
    sagemaker = lab.client("sagemaker")
    of_group = tags(application, lab.suite(application, "label == 'v1'"))
    sagemaker.create_model_package_group(
        ModelPackageGroupName=application, Tags=[{"Key": key, "Value": value} for key, value in of_group.items()]
    )
    statistics = {
        "ContentType": "application/json",
        "S3Uri": lab.upload(f"{application}/evaluation.json", json.dumps(quality).encode()),
    }
    package = sagemaker.create_model_package(
        ModelPackageGroupName=application,
        InferenceSpecification={"Containers": [{"Image": IMAGE, "ModelDataUrl": url}]},
        ModelMetrics={"ModelQuality": {"Statistics": statistics}},
    )["ModelPackageArn"]

    approve(lab, package)
    execution = qa.execution_of(package)

    assert execution.status == "SUCCEEDED", execution.cause
    live = qa.live(application)
    assert live is not None
    assert json.loads(live["metrics"]) == {"mse": 4.9, "mse.standard_deviation": 0.1}
