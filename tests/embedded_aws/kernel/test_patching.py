"""All changes to moto use `patching`, match the locked version of moto, and change existing attributes."""

import ast
import inspect
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import moto
import pytest

from embedded_aws.aws import EmbeddedAws
from embedded_aws.kernel import patching
from embedded_aws.kernel.patching import Patch, Patches

ROOT = Path(__file__).parents[3]


def locked_version() -> str:
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    return str(next(package["version"] for package in packages if package["name"] == "moto"))


def problems(patches: Iterable[Patch], version: str) -> Iterator[str]:
    """Yield the patches that do not match a version of moto, with the reason. They must be reviewed and updated."""
    for patch in patches:
        if patch.moto != version:
            yield f"{patch.target} was replaced in moto {patch.moto}, and {version} is locked: {patch.reason}"
        if patch.adds and patch.exists:
            yield f"{patch.target} is to be added, but already exists: {patch.reason}"
        if not patch.adds and not patch.exists:
            yield f"{patch.target} is to be replaced, but does not exist: {patch.reason}"


def test_every_patch_matches_the_locked_version_of_moto() -> None:
    assert moto.__version__ == locked_version()
    assert list(problems(patching.declared(), locked_version())) == []


def test_every_patch_has_a_unique_target_in_moto_and_a_reason() -> None:
    declared = patching.declared()

    assert [target for target, count in Counter(patch.target for patch in declared).items() if count > 1] == []
    assert [patch.target for patch in declared if not patch.target.startswith("moto.")] == []
    assert [patch.target for patch in declared if not patch.reason.endswith(".")] == []


def test_every_patch_is_applied_when_the_embedded_aws_starts(aws: EmbeddedAws) -> None:
    for patch in patching.declared():
        assert inspect.getattr_static(patch.owner, patch.name) is patch.value, patch.target


class Moto:
    """A class of moto in the tests below."""

    @staticmethod
    def static() -> str:
        return "moto's"

    @property
    def name(self) -> str:
        return "moto's"


@pytest.fixture
def patches(monkeypatch: pytest.MonkeyPatch) -> Patches:
    monkeypatch.setattr(patching, "_declared", [])
    for name in ("static", "name"):
        monkeypatch.setattr(Moto, name, vars(Moto)[name])
    return Patches("5.0.0")


@pytest.mark.parametrize(
    ("name", "adds", "version", "problem"),
    [
        ("static", False, "5.0.1", "was replaced in moto 5.0.0, and 5.0.1 is locked"),
        ("static", True, "5.0.0", "is to be added, but already exists"),
        ("renamed", False, "5.0.0", "is to be replaced, but does not exist"),
    ],
)
def test_an_outdated_patch_is_reported(patches: Patches, name: str, adds: bool, version: str, problem: str) -> None:
    patches.replace(Moto, name, lambda: "ours", "moto is wrong.", adds=adds)

    (found,) = problems(patching.declared(), version)

    assert problem in found


def test_a_replacement_becomes_a_static_method_or_property_like_the_original(patches: Patches) -> None:
    @patches.replaces(Moto, "static", "moto is wrong.")
    def _static() -> str:
        return "ours"

    @patches.replaces(Moto, "name", "moto is wrong.")
    def _name(self: Moto) -> str:
        return "ours"

    assert (Moto.static(), Moto().name) == ("moto's", "moto's")
    patches.apply()
    patches.apply()
    assert (Moto.static(), Moto().name) == ("ours", "ours")


def direct_changes(source: str) -> list[str]:
    """Return the statements that change moto without `patching`."""
    tree = ast.parse(source)
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "moto"
        for alias in node.names
    }

    def is_moto(node: ast.AST) -> bool:
        return isinstance(node, ast.Name) and node.id in imported

    found: list[ast.AST] = []
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, ast.Assign) else []
        found += [node for target in targets if isinstance(target, ast.Attribute) and is_moto(target.value)]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
            found += [node] if node.func.id in ("setattr", "vars") and is_moto(node.args[0]) else []
    return [ast.unparse(node) for node in found]


def test_only_the_patching_module_changes_moto() -> None:
    modules = [path for path in (ROOT / "embedded_aws").rglob("*.py") if path.name != "patching.py"]

    assert {str(path): found for path in modules if (found := direct_changes(path.read_text()))} == {}


@pytest.mark.parametrize(
    "change", ["FakeKey.etag = 1", "setattr(FakeKey, 'etag', 1)", "vars(FakeKey)['etag'] = 1"], ids=str
)
def test_other_changes_to_moto_are_detected(change: str) -> None:
    assert direct_changes(f"from moto.s3.models import FakeKey\n{change}\n")
    assert not direct_changes(f"from ours import FakeKey\n{change}\n")
