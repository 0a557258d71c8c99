import re

import pytest

from promotion.aws import service_model
from promotion.endpoint import request_members
from promotion.endpoint.request_members import ASYNCHRONOUS, MEMBERS, REGULAR, STREAM, lacking, request

# The members that the smoke test sets, and those of an asynchronous request that only delay or place its response.
NOT_OF_A_CASE = {"EndpointName", "Body", "InferenceId"}
PLACES = {"InputLocation", "S3OutputPathExtension", "Filename", "RequestTTLSeconds", "InvocationTimeoutSeconds"}


@pytest.mark.parametrize("operation", [REGULAR, STREAM, ASYNCHRONOUS])
def test_a_case_can_set_every_member_of_a_request(operation: str) -> None:
    members = set(service_model.input_shape("sagemaker-runtime", operation).members) - NOT_OF_A_CASE - PLACES

    assert {member.name for member in MEMBERS.values() if operation in member.operations} == members


@pytest.mark.parametrize("key", MEMBERS)
def test_a_value_has_the_length_that_the_model_allows(key: str) -> None:
    member = MEMBERS[key]
    for operation in member.operations:
        limits = service_model.input_shape("sagemaker-runtime", operation).members[member.name].metadata
        longest = limits["max"]

        assert member.pattern.fullmatch("x" * longest), operation
        assert not member.pattern.fullmatch("x" * (longest + 1)), operation
        assert not member.pattern.fullmatch(""), operation
        assert not member.pattern.fullmatch("a\nb"), operation
        pattern = limits.get("pattern", "")
        if "\\p" not in pattern:
            assert re.fullmatch(pattern or ".*", "x-1"), operation
            assert member.pattern.fullmatch("x-1"), operation


def test_a_request_has_the_members_of_its_operation() -> None:
    case = {"content_type": "a/b", "accept": "c/d", "target_model": "m", "session_id": "s", "custom_attributes": None}

    assert request(case, REGULAR) == {"ContentType": "a/b", "Accept": "c/d", "TargetModel": "m", "SessionId": "s"}
    assert request(case, STREAM) == {"ContentType": "a/b", "Accept": "c/d", "SessionId": "s"}
    assert lacking(case, STREAM) == {"target_model": "TargetModel"}
    assert lacking(case, ASYNCHRONOUS) == {"target_model": "TargetModel", "session_id": "SessionId"}


@pytest.mark.parametrize(("session", "valid"), [(request_members.NEW_SESSION, True), ("a-1", True), ("NEW_", False)])
def test_a_session_is_a_new_one_or_has_an_id(session: str, valid: bool) -> None:
    assert bool(MEMBERS["session_id"].pattern.fullmatch(session)) is valid
