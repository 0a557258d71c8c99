"""The package that `make build` creates for the functions."""

import importlib
import importlib.util
import io
import marshal
import os
import shutil
import subprocess
import sys
import tomllib
import types
import zipfile
from pathlib import Path

import pytest

from command.__main__ import main
from tests.linter import Project

ROOT = Path(__file__).parent.parent
BUILT = ROOT / ".aws-sam/build"
built = pytest.mark.skipif(not BUILT.exists(), reason="the build directory is missing: run `make build`")


@built
def test_the_zip_file_of_each_function_is_smaller_than_4_mb() -> None:
    functions = [path for path in BUILT.iterdir() if path.is_dir()]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        # All functions have the same code, which sam builds once.
        for path in sorted(functions)[0].rglob("*"):
            packed.write(path, path.relative_to(functions[0].parent))

    assert len(functions) == 23
    assert {path.name for path in sorted(functions)[0].iterdir()} >= {"promotion", "schedules", "steps"}
    assert not (sorted(functions)[0] / "command").exists()
    assert 100_000 < len(archive.getvalue()) < 4_000_000


@built
def test_each_module_has_bytecode_that_lambda_loads_without_reading_the_source() -> None:
    assert Project.read().template()["Globals"]["Function"]["Runtime"] == "python{}.{}".format(*sys.version_info)
    function = BUILT / "PlanCopyFunction"
    modules = list(function.rglob("*.py"))
    assert len(modules) > 100
    for module in modules:
        content = Path(importlib.util.cache_from_source(str(module))).read_bytes()
        # PEP 552: the magic number of the Python version, the flags, and the hash of the source.
        assert content[:4] == importlib.util.MAGIC_NUMBER
        assert int.from_bytes(content[4:8], "little") == 0b01
        assert content[8:16] == importlib.util.source_hash(module.read_bytes())
        code = marshal.loads(content[16:])  # noqa: S302 - the file is the project's own
        assert isinstance(code, types.CodeType)
        assert code.co_filename == f"/var/task/{module.relative_to(function)}"


@built
def test_all_functions_have_the_same_bytecode() -> None:
    first, *others = (
        {path.relative_to(function): path.read_bytes() for path in function.rglob("*.pyc")}
        for function in BUILT.iterdir()
        if function.is_dir()
    )

    assert all(other == first for other in others)


def test_the_bytecode_is_reproducible(tmp_path: Path) -> None:
    packages = [tmp_path / "0", tmp_path / "1"]
    for seed, package in enumerate(packages):
        shutil.copytree(ROOT / "functions", package, ignore=shutil.ignore_patterns("__pycache__"))
        options = ["-q", "--invalidation-mode", "unchecked-hash", "-s", str(package), "-p", "/var/task"]
        subprocess.run(  # noqa: S603 - the files are the project's own
            [sys.executable, "-m", "compileall", *options, str(package)],
            env=os.environ | {"PYTHONHASHSEED": str(seed)},
            check=True,
        )
    one, other = (
        {path.relative_to(package): path.read_bytes() for path in package.rglob("*.pyc")} for package in packages
    )

    assert one.keys() == other.keys()
    assert len(one) > 100
    assert one == other


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
