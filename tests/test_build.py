"""The package that `make build` creates for the functions."""

import importlib
import io
import tomllib
import zipfile
from pathlib import Path

import pytest

from command.__main__ import main
from tests.linter import Project

ROOT = Path(__file__).parent.parent
BUILT = ROOT / ".aws-sam/build"


@pytest.mark.skipif(not BUILT.exists(), reason="the build directory is missing: run `make build`")
def test_the_zip_file_of_each_function_is_smaller_than_2_mb() -> None:
    functions = [path for path in BUILT.iterdir() if path.is_dir()]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        # All functions have the same code, which sam builds once.
        for path in sorted(functions)[0].rglob("*"):
            packed.write(path, path.relative_to(functions[0].parent))

    assert len(functions) == 20
    assert {path.name for path in sorted(functions)[0].iterdir()} >= {"promotion", "schedules", "steps"}
    assert not (sorted(functions)[0] / "command").exists()
    assert 100_000 < len(archive.getvalue()) < 2_000_000


def test_the_requirements_of_the_functions_are_the_tested_dependencies() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    lines = (ROOT / "functions/requirements.txt").read_text().splitlines()

    assert [line for line in lines if not line.startswith("#")] == groups["functions"]


def test_the_command_is_a_script_that_requires_only_boto3_and_is_not_in_the_functions() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    template = Project.read().template()
    resources = [resource for resource in template["Resources"].values() if resource["Type"].endswith("::Function")]
    module, function = project["scripts"]["model-promotion"].split(":")

    assert getattr(importlib.import_module(module), function) is main
    assert project["dependencies"] == ["boto3"]
    assert template["Globals"]["Function"]["CodeUri"] == "functions/"
    assert not any("CodeUri" in resource["Properties"] for resource in resources)
