"""The AWS SDK with the service models that this version is tested with, whatever the Lambda runtime has.

Lambda's copy of botocore is older than the one of the tests. It drops the members of a response that its models lack,
and rejects those of a request. So the models under `models` (checks/service_models.py) take precedence over its own,
and members that even these lack, which AWS has added since, are returned as AWS sent them.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import boto3
import botocore.session
from botocore.model import ListShape, MapShape, Shape, StructureShape

_MODELS = Path(__file__).parent / "models"


@functools.cache
def session() -> boto3.Session:
    """Return the session of all clients."""
    return boto3.Session(botocore_session=_session())


@functools.cache
def service(name: str) -> Any:
    """Return botocore's model of a service."""
    return _session().get_service_model(name)


@functools.cache
def _session() -> Any:
    """Return the session of botocore, whose loader searches the directories in their order."""
    created = botocore.session.get_session()
    created.get_component("data_loader").search_paths.insert(0, str(_MODELS))
    for name in sorted(path.name for path in _MODELS.iterdir()):
        event = created.get_service_model(name).service_id.hyphenize()
        created.register(f"response-received.{event}", functools.partial(_keep_unknown_members, name))
    return created


def _keep_unknown_members(
    name: str, event_name: str, response_dict: dict[str, Any] | None, parsed_response: Any, **_: Any
) -> None:
    """Add the members of a successful response that the model of the service `name` lacks."""
    if response_dict is None or response_dict["status_code"] >= 300:
        return
    operation = service(name).operation_model(event_name.rpartition(".")[2])
    shape, is_stream = operation.output_shape, operation.has_streaming_output or operation.has_event_stream_output
    if shape is not None and not is_stream and response_dict["body"]:
        _add_unknown(shape, json.loads(response_dict["body"]), parsed_response)


def _add_unknown(shape: Shape, raw: Any, parsed: Any) -> None:
    if isinstance(shape, StructureShape) and isinstance(raw, dict) and isinstance(parsed, dict):
        for member, value in raw.items():
            if member not in shape.members:
                parsed[member] = value
            elif member in parsed:
                _add_unknown(shape.members[member], value, parsed[member])
    elif isinstance(shape, ListShape) and isinstance(raw, list) and isinstance(parsed, list):
        for value, item in zip(raw, parsed, strict=False):
            _add_unknown(shape.member, value, item)
    elif isinstance(shape, MapShape) and isinstance(raw, dict) and isinstance(parsed, dict):
        for key, value in raw.items():
            _add_unknown(shape.value, value, parsed.get(key))
