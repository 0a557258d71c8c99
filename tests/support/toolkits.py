"""AWS's inference toolkits, which run in an environment of their own: tests/oracles/serve.py."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from embedded_aws.services.sagemaker.hosting.containers import Server

ROOT = Path(__file__).parents[2]
INTERPRETER = ROOT / ".oracles/bin/python"
PROGRAM = ROOT / "tests/oracles/serve.py"
installed = pytest.mark.skipif(not INTERPRETER.exists(), reason="`make .oracles/.locked` installs the toolkits.")

# The repositories of AWS's images by the toolkit that their containers run.
_TOOLKITS = {
    "containers": r"sagemaker-(scikit-learn|xgboost|pytorch|mxnet)",
    "pytorch": r"pytorch-inference",
    "mxnet": r"mxnet-inference",
    "huggingface": r"huggingface-(pytorch|tensorflow)-inference",
}
PACKAGES = {
    "containers": "sagemaker-containers",
    "pytorch": "sagemaker-pytorch-inference",
    "mxnet": "sagemaker-mxnet-inference",
    "huggingface": "sagemaker-huggingface-inference-toolkit",
}
"""The names of the toolkits in the package registry."""


def toolkit_of(image: str) -> str | None:
    """Return the toolkit that runs in a container of an image, or None if it is none of the published ones."""
    repository = image.partition("/")[2].partition(":")[0].partition("@")[0]
    return next((name for name, pattern in _TOOLKITS.items() if re.fullmatch(pattern, repository)), None)


def server_of(image: str) -> Server | None:
    """Return the program that serves a model with the toolkit of its image, if that is installed."""
    toolkit = toolkit_of(image)
    return Server(str(INTERPRETER), PROGRAM, toolkit) if toolkit and INTERPRETER.exists() else None


def requirements(base: Path) -> Path:
    """Return where sagemaker-inference looks for the requirements of the code, with `base` instead of /opt/ml."""
    program = "from sagemaker_inference import model_server; print(model_server.REQUIREMENTS_PATH)"
    ran = subprocess.run(  # noqa: S603
        [str(INTERPRETER), "-P", "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={"PATH": "/usr/bin:/bin", "SAGEMAKER_BASE_DIR": str(base)},
    )
    return Path(ran.stdout.strip())


def answers(models: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what each model answers to an empty object: {"answer"}, or {"error"} with the toolkit's traceback.

    A model is {"toolkit", "model", "environment", "s3"}: its directory, the environment of its container, and the path
    of a file for each URI that the container reads.
    """
    ran = subprocess.run(  # noqa: S603
        [str(INTERPRETER), "-P", "-W", "ignore", str(PROGRAM)],
        input="\n".join(json.dumps(model) for model in models),
        capture_output=True,
        text=True,
        timeout=300,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "AWS_EC2_METADATA_DISABLED": "true"},
    )
    found = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith(('{"answer', '{"error'))]
    assert len(found) == len(models), ran.stderr
    return found
