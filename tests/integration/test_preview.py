"""A preview reports what a promotion would do, and changes nothing."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from embedded_aws.aws import EmbeddedAws
from embedded_aws.iam import decisions
from tests.support.events import event
from tests.support.settings import configure, register
from tests.support.sources import tags as tags_of
from tests.support.sources import tune
from tests.support.state import quiet
from tests.support.world import IMAGE, PRODUCTION, QA, Execution, Lab, Stage

READS = ("BatchGet", "Get", "List", "Describe", "Query", "Decrypt", "AssumeRole", "InvokeFunction")
APPLICATION, OTHER = "previewed", "previewed-other"
SETTINGS = {
    "EndpointConfig": {"ProductionVariants": [{"InstanceType": "ml.c6i.large"}]},
    "QualityGate": [{"MetricName": "f1", "Minimum": 0.8}],
    "Retention": {"Keep": 2},
}


@dataclasses.dataclass
class Previews:
    """Previews of every kind, the accounts before and after them, and the writes of the roles meanwhile."""

    first: dict[str, Any]
    second: dict[str, Any]
    job: str
    of: dict[str, Execution]
    before: dict[str, Any]
    after: dict[str, Any]
    written: list[str]


@pytest.fixture(scope="module")
def previews(stacks: EmbeddedAws) -> Previews:
    lab, qa, production = Lab(), Stage("qa", QA), Stage("production", PRODUCTION)
    sagemaker = lab.client("sagemaker")
    for stage, application in ((qa, APPLICATION), (qa, OTHER), (production, APPLICATION)):
        register(stage, application)
    first = qa.execution_of(lab.train(APPLICATION, "first", metrics={"f1": 0.9})).output
    second = qa.execution_of(lab.train(APPLICATION, "second", metrics={"f1": 0.9})).output
    job = lab.train(APPLICATION, "third", tagged=False, metrics={"f1": 0.7})
    assert qa.execution_of(job).states[-1] == "Not for promotion"  # else its own event would promote it once tagged
    tags = tags_of(APPLICATION, lab.suite(APPLICATION, "label == 'third'"))
    sagemaker.add_tags(
        ResourceArn=sagemaker.describe_training_job(TrainingJobName=job)["TrainingJobArn"],
        Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
    )
    url = lab.upload(f"{OTHER}/model.tar.gz", lab.artifact("v1"))
    package = sagemaker.create_model_package(
        ModelPackageName=OTHER,
        InferenceSpecification={"Containers": [{"Image": IMAGE, "ModelDataUrl": url}]},
    )["ModelPackageArn"]
    for application, settings in ((APPLICATION, SETTINGS), (OTHER, {"SmokeTest": "skip"})):
        configure(qa, application, **settings)
    completed = {"TrainingJobName": job, "TrainingJobStatus": "Completed"}
    kinds: dict[str, tuple[Stage, dict[str, Any]]] = {
        "training job": (qa, {"training_job": job}),
        "event": (qa, event("SageMaker Training Job State Change", completed)),
        "tuning job": (qa, {"tuning_job": tune(lab, OTHER, {}), "application": OTHER}),
        "model package": (qa, {"model_package": package, "application": OTHER}),
        "rollback": (qa, {"rollback": f"{APPLICATION}-qa"}),
        "rollback to": (qa, {"rollback": f"{APPLICATION}-qa", "to": first["model_name"]}),
        "live already": (qa, {"training_job": second["source_name"]}),
        "model for production": (production, {"model": second["model_name"]}),
        "no earlier promotion": (qa, {"rollback": "nothing-qa"}),
        "recovery": (qa, {"recover": f"{APPLICATION}-qa"}),
        "unknown": (production, {"model": "unknown"}),
    }

    before = quiet(stacks, qa, production)
    decided: list[decisions.Decision] = []
    with decisions.watched(decided.append):
        started = {kind: (stage, stage.start(given | {"preview": True})) for kind, (stage, given) in kinds.items()}
        ended = {kind: stage.ended(arn) for kind, (stage, arn) in started.items()}
    done = {decision.action for decision in decided if "assumed-role/" in decision.caller}
    written = sorted(action for action in done if not action.split(":")[1].startswith(READS))
    return Previews(first, second, job, ended, before, quiet(stacks, qa, production), written)


def test_a_preview_of_each_kind_changes_nothing(previews: Previews) -> None:
    assert previews.after == previews.before
    assert previews.written == []


def test_a_preview_reports_the_expected_outcome(previews: Previews) -> None:
    ends = {kind: (one.states[-1], (one.output or {}).get("would_be")) for kind, one in previews.of.items()}

    assert ends == {
        "training job": ("Previewed", "rejected"),
        "event": ("Previewed", "rejected"),
        "tuning job": ("Previewed", "promoted"),
        "model package": ("Previewed", "promoted"),
        "rollback": ("Previewed", "promoted"),
        "rollback to": ("Previewed", "promoted"),
        "live already": ("Previewed", "promoted"),
        "model for production": ("Previewed", "approval_requested"),
        "no earlier promotion": ("Preview: would fail", "failed"),
        "recovery": ("Preview: would fail", "failed"),
        "unknown": ("Preview: would fail", "failed"),
    }
    assert "The model unknown does not exist in account" in previews.of["unknown"].output["why"]
    assert all(len(json.dumps(one.output)) < 32 * 1024 for one in previews.of.values())


def test_a_preview_lists_what_would_be_copied_created_changed_and_removed(previews: Previews, qa: Stage) -> None:
    first, second, output = previews.first, previews.second, previews.of["training job"].output

    assert output["why"] == "The candidate does not pass the quality gate: f1 is 0.7, but the minimum is 0.8."
    assert output["copy"]["sentence"].startswith("2 objects of ")
    assert output["copy"]["first"][0]["from"].endswith(f"{previews.job}/output/model.tar.gz")
    assert all(sentence.endswith("would be created.") for sentence in output["create"])
    assert output["change"]["endpoint_config"]["from"] == second["endpoint_config_name"]
    instances = {"what": "ProductionVariants[0].InstanceType", "from": "ml.m5.large", "to": "ml.c6i.large"}
    assert instances in output["change"]["in_the_endpoint_config"]
    assert output["remove"]["endpoint_configs"] == [first["endpoint_config_name"]]
    assert output["remove"]["models"] == [first["model_name"]]
    assert output["remove"]["artifacts"] == [f"s3://{qa.bucket}/models/{APPLICATION}/{first['digest']}/"]


def test_a_preview_reports_what_already_exists(previews: Previews) -> None:
    again, back = previews.of["live already"].output, previews.of["rollback"].output

    # The settings have another instance type by now, so that the same model would get another config.
    assert again["copy"]["objects"] == 0
    assert again["create"][0] == f"The model {previews.second['model_name']} already exists."
    assert again["create"][1].endswith("would be created.")
    assert again["change"]["in_the_model"] == []
    assert back["change"]["endpoint_config"]["to"] == previews.first["endpoint_config_name"]
    assert back["remove"]["models"] == []


def test_the_metrics_of_a_model_travel_with_it(previews: Previews) -> None:
    assert previews.of["model for production"].output["candidate"]["metrics"] == {"f1": 0.9}
