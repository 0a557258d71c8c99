"""What `make build` makes of the template."""

import io
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BUILT = ROOT / ".aws-sam/build"


@pytest.mark.skipif(not BUILT.exists(), reason="nothing is built: run `make build`")
def test_every_functions_zip_is_under_2_mb() -> None:
    functions = [path for path in BUILT.iterdir() if path.is_dir()]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        # All functions have one code, which sam builds once: the first is like the others.
        for path in sorted(functions)[0].rglob("*"):
            packed.write(path, path.relative_to(functions[0].parent))

    assert len(functions) == 20
    assert 100_000 < len(archive.getvalue()) < 2_000_000


def test_what_lambda_gets_is_what_is_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "functions/requirements.txt").read_text().splitlines()

    assert [line for line in lines if not line.startswith("#")] == project["dependencies"]
