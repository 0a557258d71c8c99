"""The lists in aws.py contain the permissions of all services."""

import importlib
import pkgutil
from typing import Any

from embedded_aws import aws, services


def attribute_of_services(attribute: str) -> list[Any]:
    """Return an attribute of all modules of the services that have it."""
    modules = pkgutil.walk_packages(services.__path__, f"{services.__name__}.")
    # These modules are scripts.
    scripts = ("runtime", "fork_server", "serving")
    imported = [importlib.import_module(each.name) for each in modules if not each.name.endswith(scripts)]
    return [getattr(module, attribute) for module in imported if hasattr(module, attribute)]


def test_the_permissions_of_every_service_are_listed_once() -> None:
    names = [name for permissions in aws.PERMISSIONS for name in permissions]

    assert sorted(map(id, attribute_of_services("PERMISSIONS"))) == sorted(map(id, aws.PERMISSIONS))
    assert len(names) == len(set(names))
