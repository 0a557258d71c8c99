import dataclasses
from typing import Any

import pytest

from promotion.errors import PromotionRefusedError
from promotion.source.images import (
    Copy,
    Image,
    assert_serverless,
    identity,
    in_region,
    parse,
    pinned,
    recorded,
    redirected,
    resolved,
)

UPSTREAM, OWN = "111111111111", "222222222222"
HOST = f"{UPSTREAM}.dkr.ecr.eu-west-1.amazonaws.com"
AWS = "763104351884.dkr.ecr.eu-west-1.amazonaws.com/pytorch-inference"
DIGEST, OTHER = f"sha256:{'0f' * 32}", f"sha256:{'1e' * 32}"


def lookup(image: Image) -> str:
    return {"1": DIGEST, None: OTHER}[image.tag]


def never(image: Image) -> str:
    raise AssertionError(f"{image} was resolved")


@pytest.mark.parametrize(
    ("uri", "repository", "tag", "digest"),
    [
        (f"{HOST}/reviews", "reviews", None, None),
        (f"{HOST}/reviews:1.0-cpu_py3", "reviews", "1.0-cpu_py3", None),
        (f"{HOST}/team/a.b_c--d/reviews@{DIGEST}", "team/a.b_c--d/reviews", None, DIGEST),
        (f"{HOST}/reviews:1@{DIGEST}", "reviews", "1", DIGEST),
    ],
)
def test_an_image_uri_is_parsed_into_its_parts(uri: str, repository: str, tag: str | None, digest: str | None) -> None:
    assert parse(uri) == Image(uri, UPSTREAM, "eu-west-1", repository, tag, digest)
    assert parse(uri).name == f"{HOST}/{repository}"


def test_an_image_of_the_public_registry_is_refused_with_a_private_one() -> None:
    with pytest.raises(PromotionRefusedError, match=r"in the public registry of ECR.*push it to a private repository"):
        parse("public.ecr.aws/docker/library/python:3.13")


@pytest.mark.parametrize(
    "host",
    [
        f"{UPSTREAM}.dkr.ecr.cn-north-1.amazonaws.com.cn",
        f"{UPSTREAM}.dkr.ecr-fips.us-east-1.amazonaws.com",
        f"{UPSTREAM}.dkr-ecr.eu-west-1.on.aws",
    ],
)
def test_every_registry_domain_is_recognized(host: str) -> None:
    assert parse(f"{host}/reviews:1").account == UPSTREAM


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "reviews",
        "reviews:1",
        "pytorch/pytorch:2.6",
        "registry.example.com/team/reviews:1",
        f"{HOST}/",
        f"{HOST}/Reviews:1",
        f"{HOST}/reviews:",
        f"{HOST}/reviews:1:2",
        f"{HOST}/reviews@sha256:0f",
        f"{HOST}/reviews:1?x=2",
        f"{HOST}/reviews:1\n",
        f"https://{HOST}/reviews:1",
        HOST.replace(UPSTREAM, "1111") + "/reviews:1",
    ],
)
def test_an_image_outside_a_private_registry_is_refused(uri: str) -> None:
    with pytest.raises(PromotionRefusedError, match="is not in a private ECR registry"):
        parse(uri)


def test_aws_own_images_of_another_region_are_refused_with_the_reason() -> None:
    elsewhere = AWS.replace("eu-west-1", "us-east-1") + ":2.6"

    with pytest.raises(PromotionRefusedError) as refused:
        in_region(elsewhere, "eu-west-1")

    message = str(refused.value)
    assert elsewhere in message
    assert "SageMaker in eu-west-1 serves only images in eu-west-1" in message
    assert "Use AWS's image for eu-west-1 instead" in message


def test_a_custom_image_in_another_region_is_refused_with_an_instruction() -> None:
    with pytest.raises(
        PromotionRefusedError, match="Push the image to a registry in us-east-1, or configure ECR replication"
    ):
        in_region(f"{HOST}/reviews:1", "us-east-1")


def test_a_tag_is_resolved_to_its_digest() -> None:
    containers: list[dict[str, Any]] = [
        {"Image": f"{HOST}/reviews:1", "Environment": {"A": "1"}},
        {"Image": f"{HOST}/reviews"},
        {"Image": f"{HOST.replace(UPSTREAM, '999999999999')}/shared:1"},
    ]

    assert pinned(containers, "eu-west-1", lookup) == [
        {"Image": f"{HOST}/reviews@{DIGEST}", "Environment": {"A": "1"}},
        {"Image": f"{HOST}/reviews@{OTHER}"},
        {"Image": f"{HOST.replace(UPSTREAM, '999999999999')}/shared@{DIGEST}"},
    ]


@pytest.mark.parametrize("image", [f"{AWS}:2.6", f"{AWS}@{DIGEST}"])
def test_aws_own_images_are_neither_changed_nor_looked_up(image: str) -> None:
    assert pinned([{"Image": image}], "eu-west-1", never) == [{"Image": image}]


@pytest.mark.parametrize("image", [f"{HOST}/r@{DIGEST}", f"{HOST}/r:1@{DIGEST}"])
def test_an_image_by_digest_is_looked_up_and_keeps_it(image: str) -> None:
    looked_up = []

    def look_up(image: Image) -> str:
        looked_up.append(image.uri)
        return str(image.digest)

    assert pinned([{"Image": image}], "eu-west-1", look_up) == [{"Image": f"{HOST}/r@{DIGEST}"}]
    assert looked_up == [image]


def test_the_recorded_digest_replaces_the_tag() -> None:
    assert recorded({"Image": f"{AWS}:2.6", "Mode": "MultiModel"}, DIGEST) == {
        "Image": f"{AWS}@{DIGEST}",
        "Mode": "MultiModel",
    }


@pytest.mark.parametrize("image", [f"{AWS}:2.6", f"{AWS}@{DIGEST}"])
def test_an_image_without_a_record_is_not_changed(image: str) -> None:
    assert recorded({"Image": image}, None) == {"Image": image}


def test_a_record_does_not_change_a_digest() -> None:
    assert recorded({"Image": f"{AWS}@{DIGEST}"}, OTHER) == {"Image": f"{AWS}@{DIGEST}"}


def endpoint(*deployed: dict[str, str], variant: str = "AllTraffic") -> dict[str, Any]:
    return {"ProductionVariants": [{"VariantName": variant, "DeployedImages": list(deployed)}]}


RAN = {"SpecifiedImage": f"{AWS}:2.6", "ResolvedImage": f"{AWS}@{DIGEST}"}


def test_the_images_that_the_endpoint_runs_are_returned_by_container() -> None:
    own = {"SpecifiedImage": f"{HOST}/r@{OTHER}", "ResolvedImage": f"{HOST}/r@{OTHER}"}
    containers = [{"Image": f"{HOST}/r@{OTHER}"}, {"Image": f"{AWS}:2.6"}, {"Image": f"{AWS}:2.6"}]

    assert resolved(containers, endpoint(RAN, own)) == [
        f"{HOST}/r@{OTHER}",
        f"{AWS}@{DIGEST}",
        f"{AWS}@{DIGEST}",
    ]


@pytest.mark.parametrize(
    "description",
    [{}, {"ProductionVariants": [{"VariantName": "AllTraffic"}]}, endpoint({})],
)
def test_an_image_that_sagemaker_does_not_resolve_is_not_changed(description: dict[str, Any]) -> None:
    assert resolved([{"Image": f"{AWS}:2.6"}], description) == [f"{AWS}:2.6"]


def test_the_images_of_each_variant_are_compared() -> None:
    one, two = endpoint(RAN, variant="Cpu"), endpoint(RAN, variant="Gpu")
    moved = endpoint(RAN | {"ResolvedImage": f"{AWS}@{OTHER}"}, variant="Gpu")
    together = {"ProductionVariants": [*one["ProductionVariants"], *two["ProductionVariants"]]}
    apart = {"ProductionVariants": [*one["ProductionVariants"], *moved["ProductionVariants"]]}

    assert resolved([{"Image": f"{AWS}:2.6"}], together) == [f"{AWS}@{DIGEST}"]
    with pytest.raises(PromotionRefusedError, match=f"Cpu runs {AWS}@{DIGEST}, Gpu runs {AWS}@{OTHER}"):
        resolved([{"Image": f"{AWS}:2.6"}], apart)


def test_an_image_has_the_same_identity_in_every_registry() -> None:
    assert identity(f"{HOST}/reviews@{DIGEST}") == identity(f"{AWS}@{DIGEST}") == DIGEST
    assert identity(f"{HOST}/reviews:1") != identity(f"{AWS}:1")


def test_an_image_is_copied_to_the_stage_repository_with_the_same_digest() -> None:
    source = f"{HOST}/team/reviews@{DIGEST}"
    containers = [{"Image": source, "Mode": "MultiModel"}, {"Image": source}]

    moved, copies = redirected(containers, OWN, "model-promotion-qa")

    target = f"{HOST.replace(UPSTREAM, OWN)}/model-promotion-qa@{DIGEST}"
    assert moved == [{"Image": target, "Mode": "MultiModel"}, {"Image": target}]
    assert copies == [Copy(source, target, "team.reviews-0f0f0f0f0f0f0f0f")]
    assert Copy(**dataclasses.asdict(copies[0])) == copies[0]


@pytest.mark.parametrize("image", [f"{AWS}:2.6", f"{HOST.replace(UPSTREAM, OWN)}/reviews@{DIGEST}"])
def test_aws_own_images_and_those_of_the_account_are_not_copied(image: str) -> None:
    assert redirected([{"Image": image}], OWN, "model-promotion-qa") == ([{"Image": image}], [])


def test_a_copy_of_a_long_name_has_a_valid_ecr_tag() -> None:
    name = "/".join(["team"] * 50)

    _, (copy,) = redirected([{"Image": f"{HOST}/{name}@{DIGEST}"}], OWN, "model-promotion-qa")

    assert len(copy.tag) == 128
    assert copy.tag.endswith("-0f0f0f0f0f0f0f0f")


def test_a_serverless_endpoint_accepts_only_images_of_its_account_and_of_aws() -> None:
    own = {"Image": f"{HOST.replace(UPSTREAM, OWN)}/reviews@{DIGEST}"}

    assert_serverless([own, {"Image": f"{AWS}:2.6"}], OWN)
    with pytest.raises(PromotionRefusedError, match="Deploy the stage with ImageCopy=true"):
        assert_serverless([own, {"Image": f"{HOST}/reviews@{DIGEST}"}], OWN)
