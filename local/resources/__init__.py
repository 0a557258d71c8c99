"""The types of resources that CloudFormation stacks may have: the modules here, each for some services."""

from __future__ import annotations

from local.resources import access, compute, messaging, registries, storage
from local.resources.resource import TYPES, Resource

__all__ = ["TYPES", "Resource", "access", "compute", "messaging", "registries", "storage"]
