"""The import contracts in pyproject.toml are kept, and an import that breaks one is detected."""

import graphlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import grimp
import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("command", "promotion", "steps", "schedules", "notifications", "widgets", "embedded_aws", "sandbox")
SERVICES = "embedded_aws/services"
FOR_TYPES = "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from embedded_aws.aws import EmbeddedAws\n"


class Edit(NamedTuple):
    """An import that is added to a file, which may be new, and the contract that it breaks."""

    contract: str
    file: str
    added: str


EDITS = [
    Edit("product-layers", "functions/promotion/source/images.py", "from promotion.history import lock"),
    Edit("product-layers", "functions/promotion/copying/digest.py", "from promotion.endpoint import state"),
    Edit("product-layers", "functions/steps/create_model.py", "from schedules import watch_promotions"),
    Edit("product-layers", "functions/notifications/notify_operators.py", "from steps import create_model"),
    Edit("product-layers", "functions/promotion/history/lock.py", "from promotion.messages import console"),
    Edit("embedded-layers", "embedded_aws/kernel/background.py", "from embedded_aws.iam import clients"),
    Edit("embedded-layers", "embedded_aws/iam/permissions.py", "from embedded_aws.gateway import headers"),
    Edit("embedded-layers", "embedded_aws/gateway/faults.py", "from embedded_aws.services.lambda_ import api"),
    Edit("embedded-layers", f"{SERVICES}/ecr.py", FOR_TYPES),
    Edit("embedded-layers", "embedded_aws/new.py", ""),
    Edit("embedded-services", f"{SERVICES}/sagemaker/images.py", "from embedded_aws.services import ecr"),
    Edit("embedded-services", f"{SERVICES}/lambda_/api.py", "from embedded_aws.services.events import api"),
    Edit("embedded-services", f"{SERVICES}/cloudwatch/metrics.py", "from embedded_aws.services.lambda_ import api"),
    Edit("embedded-services", f"{SERVICES}/s3/api.py", "from embedded_aws.services.cloudformation import deploy"),
    Edit("embedded-services", f"{SERVICES}/new.py", ""),
    Edit("no-cycles", f"{SERVICES}/s3/content.py", "from embedded_aws.services.s3 import objects"),
    Edit("no-cycles", "functions/promotion/endpoint/model.py", "from promotion.endpoint import config"),
    Edit("no-cycles", "sandbox/stacks.py", "from sandbox.demo import accounts"),
    Edit("embedded-aws-knows-no-application", "embedded_aws/kernel/host.py", "from promotion import naming"),
    Edit("embedded-aws-knows-no-application", f"{SERVICES}/ecr.py", "from sandbox import stacks"),
    Edit("no-cycles", "command/text.py", "from command import report"),
    Edit("functions-know-no-embedded-aws", "functions/promotion/step.py", "from embedded_aws.kernel import host"),
    Edit("functions-know-no-embedded-aws", "functions/promotion/naming.py", "from command import text"),
    Edit("command-requires-only-boto3", "command/check.py", "from steps import run_smoke_test"),
    Edit("command-requires-only-boto3", "command/stage.py", "from promotion import step"),
]

CHECK = "from importlinter.cli import lint_imports\nlint_imports(no_cache=True)"
# All edits run in one process, which saves its start-up time and imports the packages from the copy.
CHECK_EDITS = """
import json, pathlib, sys
from importlinter.cli import lint_imports

for contract, file, added in json.loads(sys.argv[1]):
    path = pathlib.Path(file)
    before = path.read_text() if path.exists() else None
    path.write_text(f"{before or ''}\\n{added}\\n")
    lint_imports(limit_to_contracts=(contract,), no_cache=True)
    print("END OF EDIT")
    path.unlink() if before is None else path.write_text(before)
"""


def run(script: str, *arguments: str, root: Path) -> str:
    """Run a script on the tree under `root` and return its output."""
    return subprocess.run(  # noqa: S603 - the scripts are those above
        [sys.executable, "-c", script, *arguments],
        cwd=root,
        env={**os.environ, "PYTHONPATH": f"{root}/functions:{root}"},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[Edit, str]:
    """The output of import-linter after each edit."""
    root = tmp_path_factory.mktemp("tree")
    for folder in ("command", "functions", "embedded_aws", "sandbox"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    *found, _ = run(CHECK_EDITS, json.dumps(EDITS), root=root).split("END OF EDIT")
    return dict(zip(EDITS, found, strict=True))


def test_every_contract_is_kept() -> None:
    output = run(CHECK, root=ROOT)

    assert f"Contracts: {len({edit.contract for edit in EDITS})} kept, 0 broken." in output, output


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: f"{edit.contract}-{edit.file}")
def test_an_import_that_breaks_a_contract_is_detected(outputs: dict[Edit, str], edit: Edit) -> None:
    assert "Contracts: 0 kept, 1 broken." in outputs[edit]


def test_no_module_is_part_of_an_import_cycle() -> None:
    """Check modules that import their own package, too, which the contract does not."""
    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=False, cache_dir=None)

    modules = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}

    graphlib.TopologicalSorter(modules).prepare()
