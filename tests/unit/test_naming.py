import datetime
import fnmatch
import re
from pathlib import Path

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedded_aws.services.cloudformation import templates
from promotion.errors import InvalidRequestError
from promotion.naming import (
    application_name,
    check_execution_name,
    endpoint_name,
    resource_name,
    resource_prefix,
    sha256_of,
)

# botocore's sagemaker model: ModelName, EndpointConfigName, EndpointName.
SAGEMAKER_NAME = re.compile(r"(?=.{1,63}\Z)[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
ROOT = Path(__file__).parent.parent.parent
TIME = "2026-01-02T03:04:05.000Z"
DIGEST = "0a1b2c3d" + "f" * 56


@pytest.mark.parametrize("name", ["a", "7", "reviews", "reviews-2", "a-b-c", "a" * 40])
def test_a_valid_application_name_is_accepted(name: str) -> None:
    assert application_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "Reviews", "-a", "a-", "a--b", "a_b", "a b", "a.b", "ä", "a\n", "a" * 41, "a/../b"]
)
def test_an_invalid_application_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequestError, match="up to 40 lowercase letters, digits and single hyphens"):
        application_name(name)


def test_an_endpoint_is_named_after_its_application_and_stage() -> None:
    assert endpoint_name("reviews", "qa") == "reviews-qa"


def test_an_endpoint_name_can_have_63_characters() -> None:
    assert endpoint_name("a" * 60, "qa") == "a" * 60 + "-qa"


def test_an_endpoint_name_of_64_characters_is_refused_with_an_instruction() -> None:
    with pytest.raises(InvalidRequestError) as error:
        endpoint_name("a" * 61, "qa")

    assert f"{'a' * 61}-qa has 64 characters; SageMaker allows 63" in str(error.value)
    assert "Choose a shorter application name" in str(error.value)


def test_a_resource_is_named_after_application_stage_time_and_content() -> None:
    assert resource_name("reviews", "qa", TIME, DIGEST) == "reviews-qa-20260102-0304-0a1b2c3d"


@pytest.mark.parametrize(
    "same",
    ["2026-01-02T03:04:59Z", "2026-01-02T04:04:05+01:00", "2026-01-01T22:04:05.000-05:00", "2026-01-02T03:04:05+00:00"],
)
def test_the_time_in_a_name_is_converted_to_utc(same: str) -> None:
    assert resource_name("reviews", "qa", same, DIGEST) == resource_name("reviews", "qa", TIME, DIGEST)


def test_two_models_trained_within_the_same_minute_have_different_names() -> None:
    first = resource_name("reviews", "qa", "2026-01-02T03:04:05Z", sha256_of("first"))
    second = resource_name("reviews", "qa", "2026-01-02T03:04:06Z", sha256_of("second"))

    assert first[:-8] == second[:-8]
    assert first != second


@pytest.mark.parametrize("stage", ["q", "qa", "production", "p" * 16])
@pytest.mark.parametrize("application", ["a", "reviews", "a" * 22, "a" * 23, "a" * 40, "a-" * 19 + "ab"])
def test_a_long_application_is_truncated_but_never_the_digest(application: str, stage: str) -> None:
    name = resource_name(application, stage, TIME, DIGEST)

    assert SAGEMAKER_NAME.fullmatch(name)
    assert name.endswith(f"-{stage}-20260102-0304-0a1b2c3d")
    assert application.startswith(name.removesuffix(f"-{stage}-20260102-0304-0a1b2c3d"))


def test_a_name_is_truncated_to_exactly_63_characters() -> None:
    assert len(resource_name("a" * 40, "p" * 16, TIME, DIGEST)) == 63


def test_a_truncated_application_does_not_leave_two_hyphens() -> None:
    tail = len("-qa-20260102-0304-0a1b2c3d")
    application = "a" * (63 - tail - 1) + "-b"

    name = resource_name(application, "qa", TIME, DIGEST)

    assert name == "a" * (63 - tail - 1) + "-qa-20260102-0304-0a1b2c3d"


def test_a_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert sha256_of({"a": 1, "b": {"c": 2, "d": 3}}) == sha256_of({"b": {"d": 3, "c": 2}, "a": 1})


@pytest.mark.parametrize(
    "other", [{"a": 1, "b": [2, 1]}, {"a": "1", "b": [1, 2]}, {"a": 1}, {"A": 1, "b": [1, 2]}, [1, 2], None]
)
def test_another_value_has_another_digest(other: object) -> None:
    assert sha256_of(other) != sha256_of({"a": 1, "b": [1, 2]})


def test_a_digest_has_64_hexadecimal_digits_for_all_characters() -> None:
    assert re.fullmatch("[0-9a-f]{64}", sha256_of({"name": "ä\u202e🚀"}))


def test_a_fraction_of_a_second_does_not_change_the_name() -> None:
    time = datetime.datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=datetime.UTC)

    assert resource_name("reviews", "qa", time.isoformat(), DIGEST) == resource_name("reviews", "qa", TIME, DIGEST)


@pytest.mark.parametrize("application", ["reviews", "a" * 40, "a-" * 19 + "aa"])
def test_all_names_of_an_application_in_a_stage_have_the_same_prefix(application: str) -> None:
    prefix = resource_prefix(application, "production")

    assert prefix.endswith("-production-")
    assert resource_name(application, "production", TIME, DIGEST) == f"{prefix}20260102-0304-0a1b2c3d"


# Few letters, so that names often collide; the patterns match those of `naming` and template.yaml.
APPLICATIONS = st.lists(st.text("ab1", min_size=1, max_size=8), min_size=1, max_size=4).map("-".join)
STAGES = st.text("ab1", max_size=3).map(lambda text: f"a{text}")


@given(st.lists(st.tuples(APPLICATIONS, STAGES), min_size=2, max_size=2, unique=True))
def test_two_applications_never_share_an_endpoint(pairs: list[tuple[str, str]]) -> None:
    one, other = (endpoint_name(application, stage) for application, stage in pairs)

    assert one != other


@given(APPLICATIONS, STAGES, STAGES)
def test_the_name_patterns_in_a_stages_roles_match_only_that_stage(
    application: str, stage: str, other_stage: str
) -> None:
    """Match names like template.yaml: no application's name makes its models match those of another stage."""
    for name in (application, f"{application[:20]}-{other_stage}-x", f"{application[:20]}-{other_stage}"):
        model = resource_name(name, stage, TIME, DIGEST)

        matched = fnmatch.fnmatchcase(model, f"*-{other_stage}-????????-????-????????")
        assert matched is (stage == other_stage)
        assert fnmatch.fnmatchcase(endpoint_name(name, stage), f"*-{other_stage}") is (stage == other_stage)


def _is_accepted(name: str) -> bool:
    try:
        check_execution_name(f"arn:aws:states:eu-west-1:222222222222:execution:model-promotion-qa:{name}")
    except InvalidRequestError:
        return False
    return True


def test_the_name_of_an_execution_is_accepted_everywhere_it_is_passed_on() -> None:
    """Step Functions accepts any character but white space and the ones in `forbidden` (API_StartExecution)."""
    forbidden = '<>{}[]?*"#%\\^|~`$&,;:/'
    session = re.compile(_pattern("sts", "roleSessionNameType"))
    tag = re.compile(_pattern("sagemaker", "TagValue"))
    document = templates.load((ROOT / "template.yaml").read_text())["Resources"]["Runbook"]["Properties"]["Content"]
    runbook = re.compile(document["parameters"]["RequestedBy"]["allowedPattern"])
    arn = "arn:aws:states:eu-west-1:222222222222:execution:model-promotion-qa:"

    for character in sorted({chr(code) for code in range(33, 127)} - set(forbidden)):
        accepted = session.fullmatch(character) and tag.fullmatch(character) and runbook.fullmatch(arn + character)
        assert _is_accepted(character) == bool(accepted), character


@pytest.mark.parametrize("name", ["retry!", "reviews(2)", "it's"])
def test_another_name_is_refused_with_an_instruction(name: str) -> None:
    with pytest.raises(InvalidRequestError, match="Start it again without a name"):
        check_execution_name(f"arn:aws:states:eu-west-1:222222222222:execution:model-promotion-qa:{name}")


def _pattern(service: str, shape: str) -> str:
    model = botocore.session.get_session().get_service_model(service)
    # Python has no classes of Unicode characters; the names here are in ASCII.
    pattern = str(model.shape_for(shape).metadata["pattern"])
    return pattern.replace(r"\p{L}", "a-zA-Z").replace(r"\p{N}", "0-9").replace(r"\p{Z}", " ")
