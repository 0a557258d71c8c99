"""AWS's own images of SageMaker: the accounts that have them, and what each repository is for.

aws_images.json is generated from data that AWS publishes in its SageMaker Python SDK (checks/aws_images.py), since AWS
retired the pages with the registry paths. An account that is missing there is treated as a customer's, whose images
must be readable.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

_TABLE: dict[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text())
ACCOUNTS = frozenset(_TABLE["accounts"])
# A tag of a Deep Learning Container: 2.6.0-gpu-py312-cu124-ubuntu22.04-sagemaker.
_TAG = re.compile(r"(?P<version>[\w.-]+?)-(?P<processor>cpu|gpu)(?:-(?P<python>py\d+))?(?:-.*)?")


def is_known_to_serve(repository: str) -> bool:
    """Return whether AWS provides the images of one of its repositories for inference."""
    return repository in _TABLE["serving"]


def other_purpose(repository: str) -> str | None:
    """Return what AWS provides the images of a repository for, such as "training", if not for inference."""
    purpose: str | None = _TABLE["not_serving"].get(repository)
    return purpose


def inference_images(repository: str, tag: str) -> list[str]:
    """Return the images for inference of the version that a training image has, as `<repository>:<tag>`.

    AWS publishes them in the same accounts. There is one for CPUs and one for GPUs, of the same Python if possible.
    """
    trained = _TAG.fullmatch(tag)
    if trained is None:
        return []
    found: list[tuple[str, re.Match[str]]] = []
    for image in _TABLE["inference_images"].get(repository, []):
        serving = _TAG.fullmatch(image.partition(":")[2])
        # A tag can have a part of the version: 2.6-gpu-py312.
        if serving and f"{serving['version']}.".startswith(f"{trained['version']}."):
            found.append((image, serving))
    same_python = [image for image, serving in found if serving["python"] == trained["python"]]
    return same_python or [image for image, _ in found]
