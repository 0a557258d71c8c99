"""No member of a response is dropped silently, whatever botocore the Lambda runtime has."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import botocore
import pytest
from botocore import xform_name
from botocore.loaders import Loader

from checks import service_models
from tests.support import wire

ROOT = Path(__file__).parents[3]
OLD_RUNTIME = ROOT / ".old-runtime"
# The structures of a description that a promotion does not carry over into any request.
REPLACED = {
    "model": {"VpcConfig", "DeploymentRecommendation"},
    "model_package": {"ModelLifeCycle"},
    "training_job": {"", "AlgorithmSpecification", "ResourceConfig"},
    "automl_job": {
        "",
        "BestCandidate",
        "BestCandidate/CandidateProperties",
        "BestCandidate/CandidateProperties/CandidateMetrics/0",
    },
}


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    results: dict[str, Any] = json.loads(json.dumps(wire.results()))
    return results


@pytest.fixture(scope="module")
def found_by_old_botocore() -> dict[str, Any]:
    if not (OLD_RUNTIME / ".locked").exists():
        pytest.skip("the old runtime is missing: run `make unit` or `make test`")
    [packages] = OLD_RUNTIME.glob("lib/python*/site-packages")
    path = os.pathsep.join(map(str, (packages, ROOT / "functions", ROOT)))
    ended = subprocess.run(
        [sys.executable, "-m", "tests.support.wire"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": path, "AWS_EC2_METADATA_DISABLED": "true"},
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    results: dict[str, Any] = json.loads(ended.stdout)
    return results


def test_an_old_botocore_leads_to_the_same_candidates_settings_and_refusals(
    found: dict[str, Any], found_by_old_botocore: dict[str, Any]
) -> None:
    assert found_by_old_botocore["version"].startswith("1.33.")
    assert found["version"] == botocore.__version__
    assert found_by_old_botocore | {"version": ""} == found | {"version": ""}


def test_members_that_an_old_botocore_lacks_are_carried_over(found: dict[str, Any]) -> None:
    metrics = {"MetricsEndpoints": [{"MetricsEndpointPath": "/metrics"}]}
    [packaged] = found["model_package"]["containers"]
    pools = [{"InstanceType": "ml.g5.xlarge", "Priority": 1}]

    assert found["model"]["containers"][0]["ContainerMetricsConfig"] == metrics
    assert packaged["AdditionalModelDataSources"][0]["ChannelName"] == "adapter"
    assert found["settings"]["pools"]["EndpointConfig"]["ProductionVariants"][0]["InstancePools"] == pools
    assert found["sent"]["ProductionVariants"][0]["InstancePools"] == pools


def test_an_unknown_setting_is_refused_with_the_key_that_was_meant(found: dict[str, Any]) -> None:
    assert "unknown key 'InstancePoolz' (did you mean \"InstancePools\"?)" in found["settings"]["unknown"]


@pytest.mark.parametrize("kind", REPLACED)
def test_an_unknown_member_at_every_level_of_a_source_stops_the_promotion(found: dict[str, Any], kind: str) -> None:
    unknown = found["unknown"][kind]
    refused = {path: result for path, result in unknown.items() if path not in REPLACED[kind]}

    assert isinstance(found[kind], dict)
    assert len(refused) >= 2
    for path, result in refused.items():
        assert str(result).startswith("PromotionRefusedError"), path
        assert re.search(rf"has the field [\w.[\]]*{wire.NEW}, which this version", str(result)), path
    for path in REPLACED[kind]:
        assert unknown[path] == found[kind], path


@pytest.mark.parametrize("operation", wire.SCALING)
def test_an_unknown_member_at_every_level_of_the_autoscaling_stops_the_promotion(
    found: dict[str, Any], operation: str
) -> None:
    assert found["scaling"][0]["SuspendedState"]["DynamicScalingInSuspended"] is True
    assert len(found["unknown"][operation]) >= 2
    for path, result in found["unknown"][operation].items():
        assert "PromotionRefusedError: The autoscaling of endpoint/reviews-qa/variant/AllTraffic has" in result, path
        assert f".{wire.NEW}, which this version" in result, path


def test_the_service_models_are_those_of_the_locked_botocore() -> None:
    """`make service-models` generates them."""
    existing = {path.relative_to(service_models.TARGET) for path in service_models.TARGET.rglob("*.json")}

    assert existing == set(service_models.files())
    for path, text in service_models.files().items():
        assert (service_models.TARGET / path).read_text() == text, path


@pytest.mark.parametrize("service", service_models.OPERATIONS)
def test_the_service_models_have_every_operation_that_the_functions_call(service: str) -> None:
    code = "\n".join(path.read_text() for path in (ROOT / "functions").rglob("*.py"))
    names = set(re.findall(r"[.\"]([a-z]+_[a-z_]+)\b", code))
    model = Loader().load_service_model(service, "service-2")
    templates = "\n".join((ROOT / name).read_text() for name in ("template.yaml", "upstream.yaml"))
    # The function of upstream.yaml is not one of these: it uses the service models of the runtime.
    templates = re.sub(r"(?ms)^  ReceiveOutcomesRole:\n.*?^\n", "", templates)
    permitted = set(re.findall(rf"\b{service}:(\w+)", templates))
    called = {each for each in model["operations"] if xform_name(each) in names or each in permitted}

    assert called
    assert called <= set(service_models.OPERATIONS[service])
