"""The list of services in aws.py has what the modules of the services offer."""

import importlib
import pkgutil
from typing import Any

from embedded_aws import aws, services


def offered(attribute: str) -> list[Any]:
    """Return the attribute of every module of the services that has it."""
    modules = pkgutil.walk_packages(services.__path__, f"{services.__name__}.")
    # They run as scripts of their own.
    scripts = ("runtime", "fork_server", "serving")
    imported = [importlib.import_module(each.name) for each in modules if not each.name.endswith(scripts)]
    return [getattr(module, attribute) for module in imported if hasattr(module, attribute)]


def test_the_permissions_of_every_service_are_listed_once() -> None:
    names = [name for permissions in aws.PERMISSIONS for name in permissions]

    assert sorted(map(id, offered("PERMISSIONS"))) == sorted(map(id, aws.PERMISSIONS))
    assert len(names) == len(set(names))
