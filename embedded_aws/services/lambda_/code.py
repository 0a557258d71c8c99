"""The modules that a Lambda function can import: its code, the runtime's SDK and the packages in its requirements.

The packages are links to those of this interpreter in a separate directory, so a module that is missing on Lambda is
missing here, too: "Runtime-included libraries" in AWS's "Working with .zip file archives for Python Lambda functions".
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import io
import shutil
import threading
import zipfile
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

# boto3 requires botocore, s3transfer, jmespath, python-dateutil, six and urllib3: exactly the runtime's packages.
_INCLUDED_IN_THE_RUNTIME = "boto3"
# AWS's package for functions, which many require. https://docs.aws.amazon.com/powertools/python/latest/
_POWERTOOLS = "aws-lambda-powertools"
_unpacking = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Code:
    """The directories of a function's code and its packages."""

    task: Path
    packages: Path


def unpack(function: Any, directory: Path) -> Code:
    """Extract a function's zip file under `directory`, once for each digest. Raise BadZipFile if it is not one."""
    root = directory / function.code_digest
    code = Code(root / "task", root / "packages")
    with _unpacking:
        if not root.exists():
            partial = root.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            with zipfile.ZipFile(io.BytesIO(function.code_bytes)) as archive:
                archive.extractall(partial / code.task.name)
            _link_packages(_required(partial / code.task.name / "requirements.txt"), partial / code.packages.name)
            partial.rename(root)
    return code


def common_packages(directory: Path) -> Path:
    """Return a directory under `directory` with links to the packages that every function or many of them import."""
    packages = directory / "common"
    _link_packages([Requirement(_POWERTOOLS)], packages)
    return packages


def _required(requirements: Path) -> list[Requirement]:
    if not requirements.exists():
        return []
    lines = (line.partition("#")[0].strip() for line in requirements.read_text().splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("-")]


def _link_packages(required: list[Requirement], packages: Path) -> None:
    packages.mkdir(parents=True, exist_ok=True)
    remaining = [Requirement(_INCLUDED_IN_THE_RUNTIME), *required]
    seen = set()
    while remaining:
        requirement = remaining.pop()
        for extra in requirement.extras | {""}:
            if (requirement.name.lower(), extra) in seen:
                continue
            seen.add((requirement.name.lower(), extra))
            try:
                distribution = importlib.metadata.distribution(requirement.name)
            except importlib.metadata.PackageNotFoundError:
                continue  # the function's import fails, as on Lambda
            _link(distribution, packages)
            required = [Requirement(text) for text in distribution.requires or []]
            remaining += [each for each in required if each.marker is None or each.marker.evaluate({"extra": extra})]


def _link(distribution: importlib.metadata.Distribution, packages: Path) -> None:
    for name in {file.parts[0] for file in distribution.files or []} - {"..", "__pycache__"}:
        link = packages / name
        if not link.is_symlink():
            link.symlink_to(Path(str(distribution.locate_file(name))).resolve())
