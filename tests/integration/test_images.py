"""The images of a model: what a tag means, where it may be pulled from, and copies from registry to registry."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from moto.ecr.models import ecr_backends

from embedded_aws.iam import clients
from promotion.copying.image_copier import ImageCopier, digest_of
from promotion.errors import PromotionRefusedError, UnfinishedError
from promotion.source.images import Copy, parse
from tests.support import registries
from tests.support.approvals import signal, waiting_approval
from tests.support.settings import configure
from tests.support.world import DEV, ECR, PRODUCTION, QA, Lab, Stage

AWS_IMAGE = f"141502667606.dkr.ecr.{clients.REGION}.amazonaws.com/sagemaker-scikit-learn"
MIB = 1024**2


@pytest.fixture
def repository(lab: Lab, application: str) -> str:
    """A repository of the lab that every stage may pull from; its name."""
    registries.ensure_repository(lab.client("ecr"), f"team/{application}")
    return f"team/{application}"


def copy_of(repository: str, digest: str) -> Copy:
    target = f"{QA}.dkr.ecr.{clients.REGION}.amazonaws.com/model-promotion-qa@{digest}"
    return Copy(f"{ECR}/{repository}@{digest}", target, f"{repository.replace('/', '.')}-{digest[7:23]}")


def copier(stage: Stage) -> ImageCopier:
    """As the function has it, with its rights."""
    return ImageCopier(stage.acting_as("CopyImagesFunction", "ecr"))


def manifests(ecr: Any, repository: str, digest: str) -> dict[str, str]:
    """The manifest of a digest and those it lists, to the byte, as ECR gives them to a client."""
    found = ecr.batch_get_image(repositoryName=repository, imageIds=[{"imageDigest": digest}])["images"]
    assert found, f"{digest} is not in {repository}"
    text = found[0]["imageManifest"]
    whole = {digest: text}
    for child in json.loads(text).get("manifests", []):
        whole |= manifests(ecr, repository, child["digest"])
    return whole


def layers(account: str, repository: str) -> dict[str, bytes]:
    """What is in the layers of a repository."""
    return dict(vars(ecr_backends[account][clients.REGION].repositories[repository]).get("layer_contents", {}))


def test_a_two_architecture_image_is_copied_between_registries_with_equal_digests(
    lab: Lab, qa: Stage, repository: str
) -> None:
    shared, arm, intel = os.urandom(11 * MIB), os.urandom(2 * MIB), os.urandom(3000)
    digest = registries.push_list(
        lab.client("ecr"), repository, {"arm64": [shared, arm], "amd64": [shared, intel]}, tag="1"
    )

    summary = copier(qa).copy(copy_of(repository, digest), seconds=60)

    source = manifests(lab.client("ecr"), repository, digest)
    assert manifests(qa.client("ecr"), "model-promotion-qa", digest) == source
    assert len(source) == summary.manifests == 3
    copied = layers(QA, "model-promotion-qa")
    for layer in (shared, arm, intel):
        assert copied[registries.sha256(layer)] == layer
    # Three layers and the config of each architecture; the layer that both share was copied once.
    assert (summary.layers_copied, summary.layers_already_there) == (5, 0)
    again = copier(qa).copy(copy_of(repository, digest), seconds=60)
    assert (again.layers_copied, again.layers_already_there, again.bytes_copied) == (0, 5, 0)
    named = qa.client("ecr").describe_images(repositoryName="model-promotion-qa", imageIds=[{"imageDigest": digest}])
    assert named["imageDetails"][0]["imageTags"] == [copy_of(repository, digest).tag]


def test_a_copy_that_is_stopped_goes_on_with_the_layers_that_are_left(lab: Lab, qa: Stage, repository: str) -> None:
    parts = [os.urandom(1024 + size) for size in range(4)]
    digest = registries.push_image(lab.client("ecr"), repository, parts, tag="1")
    slow = qa.acting_as("CopyImagesFunction", "ecr")
    uploads = []

    def stop_after_two(**_: Any) -> None:
        uploads.append(1)
        if len(uploads) > 2:
            raise TimeoutError("the function's time is over")

    slow.meta.events.register("before-call.ecr.CompleteLayerUpload", stop_after_two)

    with pytest.raises(TimeoutError):
        ImageCopier(slow, in_flight=1).copy(copy_of(repository, digest), seconds=60)

    found = qa.client("ecr").batch_get_image(repositoryName="model-promotion-qa", imageIds=[{"imageDigest": digest}])
    assert not found["images"]
    rest = copier(qa).copy(copy_of(repository, digest), seconds=60)
    assert (rest.layers_already_there, rest.layers_copied) == (2, 3)
    assert manifests(qa.client("ecr"), "model-promotion-qa", digest)


def test_a_copy_without_time_left_asks_for_another_try(lab: Lab, qa: Stage, repository: str) -> None:
    digest = registries.push_image(lab.client("ecr"), repository, [os.urandom(100)], tag="1")

    with pytest.raises(UnfinishedError, match="The next try goes on with what is left"):
        copier(qa).copy(copy_of(repository, digest), seconds=-1)


def test_a_layer_that_is_damaged_is_never_put_into_an_image(lab: Lab, qa: Stage, repository: str) -> None:
    layer = os.urandom(100)
    digest = registries.push_image(lab.client("ecr"), repository, [layer], tag="1")
    contents = vars(ecr_backends[DEV][clients.REGION].repositories[repository])["layer_contents"]
    contents[registries.sha256(layer)] = os.urandom(100)

    with pytest.raises(PromotionRefusedError, match=f"The layer {registries.sha256(layer)} of .* is damaged"):
        copier(qa).copy(copy_of(repository, digest), seconds=60)

    assert registries.sha256(layer) not in layers(QA, "model-promotion-qa")


def test_an_image_that_may_not_be_pulled_is_refused_with_the_missing_statement(
    lab: Lab, qa: Stage, application: str
) -> None:
    lab.push(application, "1")

    refused = qa.promote({"training_job": lab.train(application, "good", image=f"{ECR}/{application}:1")})

    assert refused.error == "PromotionRefusedError"
    assert "Create model" not in refused.states
    arn = f"arn:aws:ecr:{clients.REGION}:{DEV}:repository/{application}"
    assert "AccessDenied" in (refused.cause or "")
    assert f"with {arn} among its RepositoryArns" in (refused.cause or "")
    assert f'"Resource": "{arn}"' in (refused.cause or "")
    assert qa.endpoint(application) is None


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (f"{ECR}/echo:never-pushed", f"The image {ECR}/echo:never-pushed is not there (any more)"),
        (f"{AWS_IMAGE.replace('eu-west-1', 'us-east-1')}:1", "It is AWS's own, which AWS keeps in each region under"),
    ],
    ids=["a tag that is not there", "an image of AWS's in another region"],
)
def test_an_image_that_cannot_serve_is_refused_before_anything_is_made(
    lab: Lab, qa: Stage, application: str, image: str, reason: str
) -> None:
    job = lab.train(application, "good")
    settings = {"Model": {"PrimaryContainer": {"Image": image}}}
    configure(qa, application, **settings)

    refused = qa.promote({"training_job": job})

    assert refused.error == "PromotionRefusedError"
    assert reason in (refused.cause or "")
    assert "Create model" not in refused.states


def test_production_runs_the_digest_that_the_endpoint_of_qa_really_runs(
    lab: Lab, qa: Stage, production: Stage, application: str
) -> None:
    """Of AWS's own image, which is left as it is: only the deployment in QA resolves its tag."""
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


def test_an_image_of_the_lab_is_pinned_and_pulled_from_where_it_is(lab: Lab, qa: Stage, application: str) -> None:
    image = f"{ECR}/team/{application}:1"
    digest = lab.push(f"team/{application}", "1")

    promoted = qa.execution_of(lab.train(application, "good", image=image)).output

    assert promoted["images"] == [f"{ECR}/team/{application}@{digest}"]
    assert qa.answer(application) == {"label": "good"}


def test_a_tag_that_is_moved_after_the_approval_was_asked_for_is_refused_with_what_changed(
    lab: Lab, qa: Stage, production: Stage, application: str
) -> None:
    before = lab.push(f"team/{application}", "1")
    configure(production, application, SmokeTest="skip")
    by_hand = {"Image": f"{ECR}/team/{application}:1"}
    (role,) = qa.client("iam").list_roles(PathPrefix="/model-promotion/qa/serving/")["Roles"]
    qa.client("sagemaker").create_model(ModelName=application, PrimaryContainer=by_hand, ExecutionRoleArn=role["Arn"])
    asked = production.promote({"model": application, "application": application})
    assert asked.states[-1] == "Approval requested", asked.cause
    waiting = waiting_approval(production, application)["AutomationExecutionId"]

    after = lab.push(f"team/{application}", "1", layer=b"something else")
    signal(production, waiting, "Approve", "yes")
    refused = production.execution_of(waiting)

    assert refused.error == "PromotionRefusedError"
    assert f"What changed: Containers[0].Image (approved was {before}, now it is {after})." in (refused.cause or "")
    assert production.endpoint(application) is None


def test_a_stage_that_says_so_copies_images_and_needs_the_upstream_no_more(
    lab: Lab, copying: Stage, production: Stage, application: str
) -> None:
    repository = f"team/{application}"
    registries.ensure_repository(lab.client("ecr"), repository)
    images = {"arm64": [os.urandom(100)], "amd64": [os.urandom(100)]}
    digest = registries.push_list(lab.client("ecr"), repository, images, "1")

    promoted = copying.execution_of(lab.train(application, "good", image=f"{ECR}/{repository}:1"))
    lab.client("ecr").delete_repository(repositoryName=repository, force=True)

    assert promoted.status == "SUCCEEDED", promoted.cause
    own = f"{QA}.dkr.ecr.{clients.REGION}.amazonaws.com/model-promotion-qa@{digest}"
    assert promoted.output["images"] == [own]
    assert "Copy images" in promoted.states
    assert len(manifests(copying.client("ecr"), "model-promotion-qa", digest)) == 3
    # The next stage pulls it from there by the policy of that repository.
    assert promoted.output["digest"] == promoted.output["model_digest"]
    waiting = waiting_approval(production, application)["AutomationExecutionId"]
    signal(production, waiting, "Approve", "yes")
    assert production.execution_of(waiting).output["images"] == [own]
    assert production.account == PRODUCTION


def test_only_the_next_stage_reads_the_repository_of_a_stage(lab: Lab, qa: Stage, production: Stage) -> None:
    image = parse(f"{QA}.dkr.ecr.{clients.REGION}.amazonaws.com/model-promotion-qa:none")

    with pytest.raises(PromotionRefusedError, match="is not there"):
        digest_of(production.acting_as("PlanCopyFunction", "ecr"), image)
    with pytest.raises(PromotionRefusedError, match="AccessDenied"):
        digest_of(lab.client("ecr"), image)
