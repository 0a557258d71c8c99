"""What moto computes again for every request although it never changes."""

from __future__ import annotations

import functools
from typing import Any

from botocore.model import Shape
from moto import backends
from moto.core import responses
from moto.core.serialize import AttributePickerContext, ResponseSerializer, XFormedAttributePicker
from moto.core.utils import method_names_from_class
from moto.moto_server.werkzeug_app import DomainDispatcherApplication

from embedded_aws.kernel.patching import Patches

patches = Patches("5.2.5")
_list_modules_in_moto = backends.list_of_moto_modules
_get_backend_in_moto = DomainDispatcherApplication.get_backend_for_host
_get_value_in_moto = ResponseSerializer.get_value


@patches.replaces(backends, "list_of_moto_modules", "moto reads its folder for each request.")
@functools.cache
def _list_of_moto_modules() -> tuple[str, ...]:
    return tuple(_list_modules_in_moto())


@patches.replaces(
    DomainDispatcherApplication, "get_backend_for_host", "moto tries the patterns of all services for each request."
)
@functools.lru_cache(maxsize=256)
def _get_backend_for_host(application: DomainDispatcherApplication, host: str | None) -> Any:
    return _get_backend_in_moto(application, host)


patches.replace(
    responses,
    "method_names_from_class",
    functools.cache(method_names_from_class),
    "moto inspects the class of the service for each request.",
)


@patches.replaces(
    ResponseSerializer, "get_value", "moto converts the name of each member for each object of a response."
)
def _get_value(self: ResponseSerializer, value: Any, key: str, shape: Shape) -> Any:
    picker = self._value_picker
    if type(value) is not dict or not isinstance(picker, XFormedAttributePicker) or picker.response_transformers:
        return _get_value_in_moto(self, value, key, shape)
    # For a dict, all depends on the shape.
    spellings = vars(shape).get("spellings")
    if spellings is None:
        spellings = shape.spellings = tuple(picker.get_possible_keys(AttributePickerContext({}, key, shape)))
    return next((value[spelling] for spelling in spellings if spelling in value), None)
