"""Random hostile input at each entry point is accepted, or refused with a message that names the problem."""

import contextlib
import copy
import datetime
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promotion.aws import s3_uri
from promotion.copying import manifest, references
from promotion.endpoint import smoke_test
from promotion.endpoint.judgment import Judgment, Response
from promotion.errors import PromotionError
from promotion.history import retention
from promotion.naming import MAXIMUM_LENGTH, endpoint_name, resource_name
from promotion.plan import settings as application_settings
from promotion.source import candidate, images, model_metrics, quality_gate, request
from promotion.source.tags import (
    APPLICATION_TAG,
    CREATED_AT_TAG,
    INFERENCE_IMAGE_TAG,
    SMOKE_TEST_TAG,
    SOURCE_TAG,
    TAG,
)
from tests.hostile_inputs import asked, objects, sources

UPSTREAM, OWN, REGION = "111111111111", "222222222222", "eu-west-1"
EVENTS = [json.loads(path.read_text()) for path in sorted((Path(__file__).parents[2] / "events").glob("*.json"))]
# botocore's sagemaker model: EndpointName, EndpointConfigName, ModelName.
SAGEMAKER_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
PARAMETER = "/model-promotion/qa/reviews"
DEFAULTS = {"EndpointConfig": {"ProductionVariants": [{"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}]}}

# Known attacks: strings that break out of their context, or that look like other strings.
NASTY = [
    "",
    " ",
    ".",
    "..",
    "../reviews",
    "a/../b",
    "%2e%2e",
    "a\x00b",
    "a\r\nb",
    '{"level":"ERROR"}\n',
    '"},"Next":"Promoted"',
    "{% $states.context %}",
    "$.input",
    "{{resolve:ssm:/x}}",
    "${AWS::AccountId}",
    "<script>alert(1)</script>",
    "\x1b[31mred",
    "re\u202eview",
    "re\ud800view",
    "\uff52eviews",
    "😀",
    "reviews'--",
    "*",
    "reviews-",
    "-reviews",
    "a" * 64,
    "x" * 3_000,
    "arn:aws:sagemaker:eu-west-1:999999999999:training-job/x",
    "s3://",
    "s3://b",
    "s3:///k",
    "S3://bucket/key",
    "https://bucket/key",
    "NaN",
]
texts = st.sampled_from(NASTY) | st.text(max_size=80)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.just(10**400),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@st.composite
def broken(draw: st.DrawFn, wholes: list[Any]) -> Any:
    """Return one of `wholes` with up to three of its members removed or replaced."""
    whole = copy.deepcopy(draw(st.sampled_from(wholes)))
    for _ in range(draw(st.integers(1, 3))):
        place: Any = whole
        while isinstance(place, dict | list) and place:
            key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else list(range(len(place)))))
            if isinstance(place[key], dict | list) and place[key] and draw(st.booleans()):
                place = place[key]
            elif draw(st.booleans()):
                del place[key]
                break
            else:
                place[key] = draw(values)
                break
    return whole


def tried[T](act: Callable[[], T]) -> tuple[T | None, str]:
    """Return the result of `act`, or the message of its refusal, after checking that it is one printable line."""
    try:
        return act(), ""
    except PromotionError as error:
        said = str(error)
    assert said.isprintable(), said[:200]
    assert 20 < len(said) < 3000, said[:200]
    return None, said


def read(given_input: Any) -> request.Request | None:
    return tried(lambda: request.read(given_input, UPSTREAM, OWN, REGION))[0]


@given(values | broken(EVENTS))
@settings(max_examples=200)
def test_any_input_of_an_execution_is_a_request_or_refused(given_input: Any) -> None:
    found = read(given_input)

    if isinstance(found, request.Promote):
        name = found.name.rpartition("model-package/")[2].split("/")[0]
        assert SAGEMAKER_NAME.fullmatch(name)
        assert found.application is None or SAGEMAKER_NAME.fullmatch(found.application)
    if isinstance(found, request.RollBack):
        assert SAGEMAKER_NAME.fullmatch(found.endpoint)


@given(st.sampled_from(EVENTS), st.sampled_from(["999999999999", OWN, "", None, 111111111111]))
def test_an_event_of_another_account_is_refused(event: dict[str, Any], account: Any) -> None:
    if "detail-type" in event and event["account"] != account:
        assert read(event | {"account": account}) is None


@given(texts)
def test_a_deeply_nested_input_is_refused(text: str) -> None:
    deep: Any = text
    for _ in range(500):
        deep = {"training_job": deep}

    assert read(deep) is None


SUITE = {
    "cases": [
        {"name": "a", "body": {"text": "x"}, "expect": "label == 'a'", "maximum_latency_ms": 100},
        {"name": "b", "body_uri": "s3://bucket/b.json", "accept": "text/csv", "expect": "@ == 'x'"},
    ],
    "repeat": 2,
    "concurrency": 2,
    "maximum_error_rate": 0.5,
    "maximum_p95_latency_ms": 10,
}


SETTINGS = {
    "EndpointConfig": {
        "ProductionVariants": [{"InstanceType": "ml.m5.large", "InitialInstanceCount": 2}],
        "KmsKeyId": "1234",
    },
    "Model": {
        "PrimaryContainer": {"Environment": {"A": "b"}},
        "VpcConfig": {"Subnets": ["s"], "SecurityGroupIds": ["g"]},
    },
    "SmokeTest": SUITE,
    "Autoscaling": {
        "MinCapacity": 1,
        "MaxCapacity": 4,
        "ScalingPolicies": [
            {
                "PolicyName": "p",
                "PolicyType": "TargetTrackingScaling",
                "TargetTrackingScalingPolicyConfiguration": {"TargetValue": 70.0},
            }
        ],
        "ScheduledActions": [{"ScheduledActionName": "night", "StartTime": "2026-01-02T03:04:05Z"}],
    },
    "DeploymentConfig": {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors"}]}},
    "QualityGate": [{"MetricName": "f1", "Minimum": 0.5}],
    "Retention": {"Keep": 3},
}


@given(values | broken([SUITE]))
@settings(max_examples=150)
def test_a_smoke_test_is_valid_or_refused_with_its_place(suite: Any) -> None:
    found, said = tried(lambda: smoke_test.validated(suite, "The smoke test in s3://bucket/suite.json"))
    if found is None:
        assert said.startswith("The smoke test in s3://bucket/suite.json is not valid: ")
        return
    # A valid suite has a verdict for every response.
    bodies = (b"", b"{}", b"\xff", b"[]")
    for index in range(len(found["cases"])):
        for body in bodies:
            judgment = Judgment(found, 1)
            judgment.add(index, Response(1.0, body))
            assert set(judgment.verdict(840)) >= {"passed", "reason"}
    for case in found["cases"]:
        assert "body_uri" in case or smoke_test.body_of(case) is not None


@given(values.map(lambda value: json.dumps(value)) | broken([SETTINGS]).map(json.dumps) | texts)
@settings(max_examples=150)
def test_settings_are_valid_or_refused_with_their_parameter(text: str) -> None:
    found, said = tried(lambda: application_settings.read(text, PARAMETER, DEFAULTS, "111111111111"))
    if found is None:
        assert PARAMETER in said
        return
    assert found["EndpointConfig"]["ProductionVariants"]


APPLICATIONS = st.from_regex(r"\A[a-z0-9](-?[a-z0-9]){0,39}\Z").filter(lambda name: len(name) <= 40)


@given(APPLICATIONS, APPLICATIONS, st.sampled_from(["qa", "production", "a" * 20]))
def test_two_applications_never_share_an_endpoint(one: str, other: str, stage: str) -> None:
    assert SAGEMAKER_NAME.fullmatch(endpoint_name(one, stage))
    assert (endpoint_name(one, stage) == endpoint_name(other, stage)) is (one == other)


@given(APPLICATIONS, st.datetimes(), st.text("0123456789abcdef", min_size=64, max_size=64))
def test_each_resource_name_is_valid_for_sagemaker(application: str, time: datetime.datetime, digest: str) -> None:
    name = resource_name(application, "production", time.replace(tzinfo=datetime.UTC).isoformat(), digest)

    assert len(name) <= MAXIMUM_LENGTH
    assert SAGEMAKER_NAME.fullmatch(name)
    assert name.endswith(digest[:8])


@given(texts | st.builds("s3://{}/{}".format, st.sampled_from(["bucket", "b", "Bucket", "x_y", "bucket."]), texts))
def test_a_uri_is_an_object_or_a_prefix_or_refused(uri: str) -> None:
    found, _ = tried(lambda: s3_uri.bucket_and_key(uri))
    if found is None:
        return
    bucket, key = found
    assert uri == f"s3://{bucket}/{key}"
    assert not {".", ".."} & set(key.split("/"))
    assert len(key.encode()) <= 1024


DESCRIBED = [
    ("training_job", sources.JOB),
    ("tuning_job", sources.TUNING),
    ("automl_job", sources.AUTO_ML),
    ("model", sources.MODEL),
    ("model_package", sources.PACKAGE),
]


@given(st.sampled_from(DESCRIBED).flatmap(lambda one: st.tuples(st.just(one[0]), broken([one[1]]))))
@settings(max_examples=200)
def test_a_malformed_source_is_a_candidate_or_refused(given_source: Any) -> None:
    found, _ = tried(lambda: sources.read_as(*given_source))

    if isinstance(found, candidate.Candidate):
        assert found.application == "reviews"
        assert candidate.Candidate.from_json(json.loads(json.dumps(found.to_json()))) == found
        tried(lambda: references.references(found.containers))
        tried(lambda: images.pinned(found.containers, REGION, lambda _: f"sha256:{'a' * 64}"))


@given(st.dictionaries(st.sampled_from(sorted(sources.JOB["HyperParameters"])), texts | st.integers().map(str)))
def test_hyperparameters_are_copied_as_strings(parameters: dict[str, str]) -> None:
    found, _ = tried(
        lambda: sources.read("training_job", job=sources.changed(sources.JOB, "HyperParameters", parameters))
    )

    assert isinstance(found, candidate.Candidate)
    assert all(isinstance(value, str) for value in found.containers[0].get("Environment", {}).values())
    tried(lambda: references.references(found.containers))


OUR_TAGS = [
    APPLICATION_TAG,
    CREATED_AT_TAG,
    SMOKE_TEST_TAG,
    SOURCE_TAG,
    INFERENCE_IMAGE_TAG,
    "aws:createdBy",
]


@given(
    st.sampled_from([kind for kind, _ in DESCRIBED]),
    st.dictionaries(st.sampled_from(OUR_TAGS) | texts, texts | st.datetimes().map(lambda time: f"{time.isoformat()}Z")),
)
@settings(max_examples=150)
def test_a_source_with_any_tags_is_a_candidate_with_the_owners_tags_or_refused(kind: str, tags: dict[str, str]) -> None:
    found, _ = tried(lambda: sources.read(kind, sources.TAGS | tags))

    if isinstance(found, candidate.Candidate):
        assert SAGEMAKER_NAME.fullmatch(found.application)
        assert all(tags[key] == value for key, value in found.tags.items())
        assert not any(key.lower().startswith(("aws:", TAG)) for key in found.tags)
        datetime.datetime.fromisoformat(found.created_at)


@given(broken([asked.automation()]))
@settings(max_examples=150)
def test_a_malformed_approval_approves_only_its_own_candidate(execution: Any) -> None:
    found, _ = tried(lambda: asked.granted(execution))

    if found:
        assert execution["DocumentName"] == asked.RUNBOOK
        assert execution["AutomationExecutionStatus"] == "InProgress"
        assert execution["Parameters"]["Digest"][0] == asked.DIGEST
        assert len(found.by) <= 1_000
        assert len(found.comment) <= 1_000


@given(
    st.sampled_from([event for event in EVENTS if "detail-type" in event]),
    st.sampled_from(["account", "region", "source", "detail-type"]),
    values,
)
@settings(max_examples=200)
def test_an_event_with_another_envelope_starts_no_promotion(event: dict[str, Any], member: str, value: Any) -> None:
    if value != event[member]:
        assert isinstance(read(event | {member: value}), request.Ignore | None)


# The characters that XML, the format of S3's listings, can represent.
KEYS = st.lists(
    st.sampled_from(objects.ODD) | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1),
    min_size=1,
    max_size=4,
    unique=True,
)


@given(KEYS)
@settings(max_examples=30)
def test_the_keys_under_a_prefix_are_copied_exactly_or_refused(names: list[str]) -> None:
    keys = [f"w/{name}" for name in names if not name.endswith("/") and len(name.encode()) < 700]
    found, _ = tried(lambda: objects.pinned(objects.Upstream(*keys), "w/", is_prefix=True))

    if found is not None:
        assert sorted(one.key for one in found) == sorted(keys)
        reference = references.Reference((0, "ModelDataUrl"), "s3://artifacts/w/", is_prefix=True)
        prefix, placed = references.targets(reference, found, "models/reviews/digest")
        assert [one.target.removeprefix(prefix) for one in placed] == [one.key.removeprefix("w/") for one in found]
        assert len({one.target for one in placed}) == len(keys)


@given(st.lists(st.text() | st.sampled_from(NASTY), max_size=5), st.text())
def test_a_manifest_is_parsed_as_it_was_written(names: list[str], attribute: str) -> None:
    attributes = {"x-amz-meta-a": attribute}
    written = [manifest.PinnedObject("b", name, name, 1, "e", None, None, None, attributes, name) for name in names]

    text, batches = manifest.manifest(written)

    assert text.isascii()
    assert [manifest.PinnedObject.from_line(line) for line in text.splitlines()] == written
    assert sum(batch["end"] - batch["start"] for batch in batches) == len(text.encode())


@pytest.mark.parametrize("text", NASTY)
def test_an_invalid_name_is_refused_for_each_key(text: str) -> None:
    for key in ("training_job", "tuning_job", "automl_job", "model", "model_package", "rollback", "recover"):
        if not SAGEMAKER_NAME.fullmatch(text):
            assert read({key: text}) is None
    if not re.fullmatch(r"[a-z0-9](-?[a-z0-9]){0,39}", text):
        assert read({"training_job": "x", "application": text}) is None


GATE = [
    {"MetricName": "f1", "Minimum": 0.5, "Maximum": 1, "Type": "Maximize", "NotWorseThanLiveBy": 0.1},
    {"MetricName": "loss", "Maximum": 10**400},
]


@given(
    values | broken([GATE[:1], GATE]),
    st.dictionaries(texts.filter(model_metrics.is_name) | st.just("f1"), st.floats(allow_nan=False)),
)
@settings(max_examples=150)
def test_a_quality_gate_is_valid_or_refused(gate: Any, found: dict[str, float]) -> None:
    rules, _ = tried(lambda: quality_gate.validated(gate, f"{PARAMETER}: QualityGate"))
    if rules is not None:
        checks = quality_gate.check(rules, found, {"model_name": "reviews-1", "metrics": {"f1": 0.5}})
        assert (quality_gate.why_failed(checks) or " ").isprintable()


@given(values | broken([{"Keep": 5}]))
def test_a_retention_keeps_a_version_for_rollback_or_is_refused(retention_settings: Any) -> None:
    found, _ = tried(lambda: retention.validated(retention_settings, f"{PARAMETER}: Retention"))

    assert found is None or found["Keep"] >= 2


@given(values)
def test_a_metrics_file_has_numbers_by_name_or_is_unreadable(document: Any) -> None:
    with contextlib.suppress(model_metrics.UnreadableMetricsError):
        found = model_metrics.read(json.dumps(document).encode())
        assert all(name.isprintable() and math.isfinite(value) for name, value in found.items())
