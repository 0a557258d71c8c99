from __future__ import annotations

import json
from typing import Any

from promotion.plan import approved

SECRET = "hf_abcdefgh"  # noqa: S105


def test_the_files_have_no_value_of_an_environment() -> None:
    document: dict[str, Any] = {
        "Model": {"Containers": [{"Image": "i", "Environment": {"HF_TOKEN": SECRET, "THREADS": "2"}}]},
        "ShadowModels": {"m": {"PrimaryContainer": {"Environment": {"HF_TOKEN": SECRET}}}},
    }

    [(key, file)] = approved.files({"d": document}).items()

    stored = json.loads(file)
    assert key == "manifests/d.json"
    assert SECRET not in file.decode()
    environment = stored["Model"]["Containers"][0]["Environment"]
    assert set(environment) == {"HF_TOKEN", "THREADS"}
    assert all(value.startswith("sha256:") for value in environment.values())
    assert stored["Model"]["Containers"][0]["Image"] == "i"
    assert environment["HF_TOKEN"] == stored["ShadowModels"]["m"]["PrimaryContainer"]["Environment"]["HF_TOKEN"]
