"""What a Lambda function can import: its own code, the SDK that comes with the runtime, and what its requirements name.

The packages are links to those of this interpreter, in a directory of their own, so that a module that would be missing
on Lambda is missing here too. See "Runtime-included libraries" in AWS's "Working with .zip file archives for Python".
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

# boto3 needs botocore, s3transfer, jmespath, python-dateutil, six and urllib3: exactly what the runtime includes.
_INCLUDED_IN_THE_RUNTIME = "boto3"
_unpacking = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Code:
    task: Path
    packages: Path


def unpack(function: Any, directory: Path) -> Code:
    """The function's zip file on disk below `directory`, once for each content; BadZipFile if it is none."""
    root = directory / function.code_digest
    code = Code(root / "task", root / "packages")
    with _unpacking:
        if not root.exists():
            partial = root.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            with zipfile.ZipFile(io.BytesIO(function.code_bytes)) as archive:
                archive.extractall(partial / code.task.name)
            _link_packages(partial / code.task.name / "requirements.txt", partial / code.packages.name)
            partial.rename(root)
    return code


def runtime_packages(directory: Path) -> Path:
    """Link the packages that every function can import into a directory under `directory`, and return it."""
    packages = directory / "runtime"
    _link_packages(directory / "no-requirements.txt", packages)
    return packages


def _link_packages(requirements: Path, packages: Path) -> None:
    packages.mkdir(parents=True, exist_ok=True)
    wanted = [Requirement(_INCLUDED_IN_THE_RUNTIME)]
    if requirements.exists():
        lines = (line.partition("#")[0].strip() for line in requirements.read_text().splitlines())
        wanted += [Requirement(line) for line in lines if line and not line.startswith("-")]
    seen = set()
    while wanted:
        requirement = wanted.pop()
        for extra in requirement.extras | {""}:
            if (requirement.name.lower(), extra) in seen:
                continue
            seen.add((requirement.name.lower(), extra))
            try:
                distribution = importlib.metadata.distribution(requirement.name)
            except importlib.metadata.PackageNotFoundError:
                continue  # the function's own import will say so, as it does on Lambda
            _link(distribution, packages)
            needs = [Requirement(text) for text in distribution.requires or []]
            wanted += [need for need in needs if need.marker is None or need.marker.evaluate({"extra": extra})]


def _link(distribution: importlib.metadata.Distribution, packages: Path) -> None:
    for name in {file.parts[0] for file in distribution.files or []} - {"..", "__pycache__"}:
        link = packages / name
        if not link.is_symlink():
            link.symlink_to(Path(str(distribution.locate_file(name))).resolve())
