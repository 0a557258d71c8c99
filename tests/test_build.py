"""The package that `make build` creates for the functions."""

import io
import tomllib
import zipfile
from pathlib import Path

import pytest

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
    assert 100_000 < len(archive.getvalue()) < 2_000_000


def test_the_requirements_of_the_functions_are_the_tested_dependencies() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "functions/requirements.txt").read_text().splitlines()

    assert [line for line in lines if not line.startswith("#")] == project["dependencies"]
