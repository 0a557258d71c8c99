"""The images of a model: the digest of a tag, and the registry to pull from."""

from __future__ import annotations

import json
import os

import pytest

from embedded_aws.kernel import accounts
from promotion.copying.image_copier import digest_of
from promotion.errors import PromotionRefusedError
from promotion.source.images import parse
from tests.support import registries
from tests.support.approvals import signal, waiting_approval
from tests.support.settings import configure
from tests.support.world import DEV, ECR, PRODUCTION, QA, Lab, Stage

AWS_IMAGE = f"141502667606.dkr.ecr.{accounts.REGION}.amazonaws.com/sagemaker-scikit-learn"
DEEP_LEARNING = f"763104351884.dkr.ecr.{accounts.REGION}.amazonaws.com"


def test_an_image_without_pull_permission_is_refused_with_the_missing_statement(
    lab: Lab, qa: Stage, application: str
) -> None:
    lab.push(application, "1")

    refused = qa.promote({"training_job": lab.train(application, "good", image=f"{ECR}/{application}:1")})

    assert refused.error == "PromotionRefusedError"
    assert "Create model" not in refused.states
    arn = f"arn:aws:ecr:{accounts.REGION}:{DEV}:repository/{application}"
    assert "AccessDenied" in (refused.cause or "")
    assert f"with {arn} in RepositoryArns" in (refused.cause or "")
    assert f'"Resource": "{arn}"' in (refused.cause or "")
    assert qa.endpoint(application) is None


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (f"{ECR}/echo:never-pushed", f"The image {ECR}/echo:never-pushed does not exist in ECR"),
        (f"{AWS_IMAGE.replace('eu-west-1', 'us-east-1')}:1", "Use AWS's image for eu-west-1 instead"),
        (f"{DEEP_LEARNING}/pytorch-training:2.6.0-gpu-py312", "for training, not for inference"),
    ],
    ids=["a tag that is not there", "an image of AWS's in another region", "an image of AWS's that only trains"],
)
def test_an_image_that_cannot_serve_is_refused_before_anything_is_created(
    lab: Lab, qa: Stage, application: str, image: str, reason: str
) -> None:
    job = lab.train(application, "good")
    settings = {"Model": {"PrimaryContainer": {"Image": image}}}
    configure(qa, application, **settings)

    refused = qa.promote({"training_job": job})

    assert refused.error == "PromotionRefusedError"
    assert reason in (refused.cause or "")
    assert "Create model" not in refused.states


@pytest.mark.parametrize("by", ["tag", "digest"])
def test_an_image_with_an_oci_manifest_is_refused_while_planning(
    lab: Lab, qa: Stage, application: str, by: str
) -> None:
    repository = f"team/{application}"
    registries.ensure_repository(lab.client("ecr"), repository)
    digest = registries.push_image(lab.client("ecr"), repository, [b"1"], "1", media_type=registries.OCI_MANIFEST)
    image = f"{ECR}/{repository}" + (":1" if by == "tag" else f"@{digest}")

    refused = qa.promote({"training_job": lab.train(application, "good", image=image)})

    assert refused.error == "PromotionRefusedError"
    assert "--provenance=false --output type=docker" in (refused.cause or "")
    assert "Copy artifacts" not in refused.states


def test_an_aws_image_that_only_trains_is_refused_with_the_image_that_serves(
    lab: Lab, qa: Stage, application: str
) -> None:
    job = lab.train(application, "good", image=f"{DEEP_LEARNING}/pytorch-training:2.6.0-gpu-py312")

    refused = qa.promote({"training_job": job})

    assert refused.error == "InvalidInputError"
    assert f"{DEEP_LEARNING}/pytorch-inference:2.6.0-gpu-py312" in (refused.cause or "")
    assert "Plan copy" not in refused.states
    assert qa.endpoint(application) is None


def test_the_inference_image_of_the_settings_serves_a_job_of_an_aws_image_that_only_trains(
    lab: Lab, qa: Stage, application: str
) -> None:
    job = lab.train(application, "good", image=f"{DEEP_LEARNING}/pytorch-training:2.6.0-gpu-py312")
    serving = f"{DEEP_LEARNING}/pytorch-inference:2.6.0-gpu-py312"
    configure(qa, application, Model={"PrimaryContainer": {"Image": serving}})

    promoted = qa.promote({"training_job": job})

    assert promoted.status == "SUCCEEDED", promoted.cause
    assert qa.answer(application) == {"label": "good"}


def test_production_runs_the_digest_that_the_endpoint_of_qa_really_runs(
    lab: Lab, qa: Stage, production: Stage, application: str
) -> None:
    """The tag of an AWS image is resolved by the deployment in QA only."""
    in_qa = qa.execution_of(lab.train(application, "good", image=f"{AWS_IMAGE}:1.2-1-cpu-py3")).output
    endpoint = qa.endpoint(application)
    assert endpoint is not None
    (ran,) = endpoint["ProductionVariants"][0]["DeployedImages"]

    waiting = waiting_approval(production, application)
    signal(production, waiting["AutomationExecutionId"], "Approve", "yes")
    promoted = production.execution_of(waiting["AutomationExecutionId"])

    assert promoted.status == "SUCCEEDED", promoted.cause
    made = qa.client("sagemaker").describe_model(ModelName=in_qa["model_name"])
    assert made["PrimaryContainer"]["Image"] == f"{AWS_IMAGE}:1.2-1-cpu-py3" == ran["SpecifiedImage"]
    assert ran["ResolvedImage"].startswith(f"{AWS_IMAGE}@sha256:")
    live_in_qa, live = qa.live(application), production.live(application)
    assert live_in_qa is not None
    assert live is not None
    assert json.loads(live_in_qa["images"]) == json.loads(live["images"]) == [ran["ResolvedImage"]]
    model = production.client("sagemaker").describe_model(ModelName=promoted.output["model_name"])
    assert model["PrimaryContainer"]["Image"] == ran["ResolvedImage"]
    assert live["digest"] == live_in_qa["model_digest"] == live["model_digest"]


def test_an_image_of_the_training_account_is_pinned_and_pulled_from_its_registry(
    lab: Lab, qa: Stage, application: str
) -> None:
    image = f"{ECR}/team/{application}:1"
    digest = lab.push(f"team/{application}", "1")

    promoted = qa.execution_of(lab.train(application, "good", image=image)).output

    assert promoted["images"] == [f"{ECR}/team/{application}@{digest}"]
    assert qa.answer(application) == {"label": "good"}


def test_a_tag_that_moved_after_the_approval_request_is_refused_with_the_change(
    lab: Lab, qa: Stage, production: Stage, application: str
) -> None:
    before = lab.push(f"team/{application}", "1")
    configure(production, application, SmokeTest="skip")
    package = qa.client("sagemaker").create_model_package(
        ModelPackageName=application,
        InferenceSpecification={"Containers": [{"Image": f"{ECR}/team/{application}:1"}]},
    )["ModelPackageArn"]
    asked = production.promote({"model_package": package, "application": application})
    assert asked.states[-1] == "Approval requested", asked.cause
    waiting = waiting_approval(production, application)["AutomationExecutionId"]

    after = lab.push(f"team/{application}", "1", layer=b"something else")
    signal(production, waiting, "Approve", "yes")
    refused = production.execution_of(waiting)

    assert refused.error == "PromotionRefusedError"
    assert f"Changes: Containers[0].Image (approved: {before}, current: {after})." in (refused.cause or "")
    assert production.endpoint(application) is None


def test_a_stage_with_image_copy_does_not_need_the_upstream_registry(
    lab: Lab, copying: Stage, production: Stage, application: str
) -> None:
    repository = f"team/{application}"
    registries.ensure_repository(lab.client("ecr"), repository)
    images = {"arm64": [os.urandom(100)], "amd64": [os.urandom(100)]}
    digest = registries.push_list(lab.client("ecr"), repository, images, "1")

    promoted = copying.execution_of(lab.train(application, "good", image=f"{ECR}/{repository}:1"))
    lab.client("ecr").delete_repository(repositoryName=repository, force=True)

    assert promoted.status == "SUCCEEDED", promoted.cause
    own = f"{QA}.dkr.ecr.{accounts.REGION}.amazonaws.com/model-promotion-qa@{digest}"
    assert promoted.output["images"] == [own]
    assert "Copy images" in promoted.states
    assert len(registries.manifests(copying.client("ecr"), "model-promotion-qa", digest)) == 3
    # The next stage pulls it from there by the policy of that repository.
    assert promoted.output["digest"] == promoted.output["model_digest"]
    waiting = waiting_approval(production, application)["AutomationExecutionId"]
    signal(production, waiting, "Approve", "yes")
    assert production.execution_of(waiting).output["images"] == [own]
    assert production.account == PRODUCTION


def test_only_the_next_stage_reads_the_repository_of_a_stage(lab: Lab, qa: Stage, production: Stage) -> None:
    image = parse(f"{QA}.dkr.ecr.{accounts.REGION}.amazonaws.com/model-promotion-qa:none")

    with pytest.raises(PromotionRefusedError, match="does not exist in ECR"):
        digest_of(production.acting_as("PlanCopyFunction", "ecr"), image)
    with pytest.raises(PromotionRefusedError, match="AccessDenied"):
        digest_of(lab.client("ecr"), image)
