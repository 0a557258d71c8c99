"""The step Inspect endpoint, as it is deployed."""

from __future__ import annotations

import json

from tests.support.settings import configure
from tests.support.steps import invoke, payload
from tests.support.world import Lab, Stage


def test_the_quality_gate_is_checked_again_under_the_lock(lab: Lab, qa: Stage, application: str) -> None:
    rule = {"MetricName": "f1", "Type": "Maximize", "NotWorseThanLiveBy": 0}
    configure(qa, application, QualityGate=[rule])
    record = qa.execution_of(lab.train(application, "live", metrics={"f1": 0.9})).output
    execution = record["execution"].replace(record["execution"].rsplit(":", 1)[1], application)
    candidate = record | {
        "created_at": "2100-01-01T00:00:00Z",
        "endpoint_config_name": "another",
        "metrics": {"f1": 0.8},
        "quality_gate": [rule | {"value": 0.8, "live_value": 0.7, "passed": True, "reason": ""}],
    }

    given = payload(qa, "Inspect endpoint", promotion=candidate, execution=execution)
    given["settings"] = json.dumps(given["defaults"] | {"QualityGate": [rule]})

    inspected = invoke(qa, "InspectEndpointFunction", given)

    assert inspected["outcome"] == "quality_gate_failed"
    assert "f1 is 0.8, but" in inspected["reason"]
    assert inspected["promotion"]["quality_gate"][0]["live_value"] == 0.9
