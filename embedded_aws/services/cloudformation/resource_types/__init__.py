"""The resource types that templates can contain, one class for each."""

from __future__ import annotations

from embedded_aws.services.cloudformation.resource_types import base, compute, ecr, iam_kms, messaging, storage
from embedded_aws.services.cloudformation.resource_types.base import TYPES, Resource

__all__ = ["TYPES", "Resource", "base", "compute", "ecr", "iam_kms", "messaging", "storage"]
