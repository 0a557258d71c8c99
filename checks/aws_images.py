"""Generate functions/promotion/source/aws_images.json: what AWS's own images of SageMaker are for.

AWS publishes the registries, repositories, versions and purposes of its images as data of its SageMaker Python SDK
(sagemaker/core/image_uri_config in the distribution `sagemaker-core`), since it retired the pages with the registry
paths. `make aws-images` installs the distribution that this module prints without an argument, without its
dependencies, and calls it with the directory. Only what the functions need is kept.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

DISTRIBUTION = "sagemaker-core==2.27.0"
TARGET = Path(__file__).parent.parent / "functions/promotion/source/aws_images.json"
_CONFIG = "sagemaker/core/image_uri_config"
# The scopes of images that serve; "eia" is inference with an accelerator.
_SERVING = {"inference", "inference_graviton", "eia"}
# The scope of an image that the data names without one.
_UNKNOWN = "notebooks and processing"
_SCOPES = {"debugger": "debugging", "detailed-profiler": "profiling"}
_PROCESSORS = ("cpu", "gpu")
# The images of Amazon Nova, which the data lacks. Nova user guide, "Amazon Nova customization on SageMaker" and
# "SageMaker inference": the container image URIs.
_NOVA_ACCOUNTS = ("176779409107", "470633809225", "708977205387", "878185805882")
_NOVA_SERVING = ("nova-inference-repo",)
_NOVA_NOT_SERVING = {"nova-evaluation-repo": "evaluation", "nova-fine-tune-repo": "training"}


class Version(NamedTuple):
    """One version of a framework or algorithm: `prefix` is the beginning of its tags, `config` its data."""

    framework: str
    scope: str
    prefix: str
    config: dict[str, Any]

    @property
    def repository(self) -> str:
        return str(self.config["repository"])

    @property
    def tags(self) -> list[str]:
        """The tags of the versions for CPUs and GPUs, as the SDK forms them."""
        containers = self.config.get("container_version", {})
        return [
            "-".join(filter(None, (self.prefix, processor, python, containers.get(processor))))
            for processor in _PROCESSORS
            if not containers or processor in containers
            for python in self.config.get("py_versions") or [""]
        ]


def table(directory: Path) -> dict[str, Any]:
    """Return the table of the data in `directory`, the root of an installed distribution."""
    versions = list(_versions(directory / _CONFIG))
    scopes: dict[str, set[str]] = {}
    for version in versions:
        scopes.setdefault(version.repository, set()).add(version.scope)
    serving = sorted(name for name, found in scopes.items() if found & _SERVING)
    return {
        "source": f"{DISTRIBUTION.replace('==', ' ')}, {_CONFIG}",
        "accounts": sorted({*_NOVA_ACCOUNTS, *_accounts(versions)}),
        "serving": sorted([*serving, *_NOVA_SERVING]),
        "not_serving": _NOVA_NOT_SERVING
        | {
            name: " and ".join(sorted(_SCOPES.get(scope, scope) for scope in found))
            for name, found in sorted(scopes.items())
            if name not in serving
        },
        "inference_images": {
            name: images for name in sorted(set(scopes) - set(serving)) if (images := _matching(versions, name))
        },
    }


def _accounts(versions: list[Version]) -> set[str]:
    return {account for version in versions for account in version.config["registries"].values()}


def _versions(directory: Path) -> Iterator[Version]:
    for path in sorted(directory.glob("*.json")):
        data = json.loads(path.read_text())
        if "versions" in data:
            parts = [(scope, data) for scope in data.get("scope", [_UNKNOWN])]
        else:
            parts = [(scope, part) for scope, part in data.items() if isinstance(part, dict) and "versions" in part]
        for scope, part in parts:
            for number, config in part["versions"].items():
                for prefix, one in _leaves(config.get("tag_prefix", number), config):
                    yield Version(path.stem, scope, prefix, one)


def _leaves(prefix: str, config: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the prefix of tags and the data of one version, which may differ by Python or by base framework."""
    if "registries" in config:
        yield prefix, config
        return
    for name, part in config.items():
        if name.startswith("py") and name.removeprefix("py").isdigit():
            yield prefix, part | {"py_versions": [name]}
        elif name != "version_aliases":
            base = name.removeprefix("pytorch").removeprefix("tensorflow")
            yield f"{base}-transformers{prefix}", part


def _matching(versions: list[Version], repository: str) -> list[str]:
    """Return the images that serve the versions of a training repository, in the same registries."""
    found = []
    for training, serving in itertools.product(versions, versions):
        if (
            (training.repository, training.scope, serving.scope) == (repository, "training", "inference")
            and (training.framework, training.prefix) == (serving.framework, serving.prefix)
            and _in_same_registries(training, serving)
        ):
            found += [f"{serving.repository}:{tag}" for tag in serving.tags]
    return list(dict.fromkeys(found))


def _in_same_registries(one: Version, other: Version) -> bool:
    """Return whether both are in the same accounts, in the regions that have both."""
    accounts, others = one.config["registries"], other.config["registries"]
    return all(account == others.get(region, account) for region, account in accounts.items())


if __name__ == "__main__":
    if len(sys.argv) > 1:
        TARGET.write_text(json.dumps(table(Path(sys.argv[1])), indent=1) + "\n")
    else:
        print(DISTRIBUTION)
