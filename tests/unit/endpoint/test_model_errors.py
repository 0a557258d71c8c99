from typing import Any

import pytest
from botocore.exceptions import ClientError

from promotion.endpoint.model_errors import explanation


@pytest.mark.parametrize(
    ("status", "message", "says"),
    [
        (415, "no", "does not support the content type of the request"),
        (500, "Traceback", "The code of the model failed"),
        (507, "Worker died.", "too little memory"),
        (0, "Your invocation timed out while waiting", "within 60 seconds, or within 8 minutes with stream"),
        (418, "I am a teapot", ""),
    ],
)
def test_the_status_or_sagemakers_message_explains_an_error_of_the_model(status: int, message: str, says: str) -> None:
    response: Any = {
        "Error": {"Code": "ModelError", "Message": f'Received server error ({status}) from primary with "{message}"'},
        "OriginalStatusCode": status,
        "OriginalMessage": message,
    }

    said = explanation(ClientError(response, "InvokeEndpoint"))

    assert says in said
    assert bool(said) == bool(says)


def test_a_stream_that_takes_too_long_is_explained() -> None:
    message = "Your model primary did not complete sending the inference response in the allotted time."
    error: Any = {"Error": {"Code": "ModelStreamError", "Message": message}}

    assert explanation(ClientError(error, "X")) == ("A response stream must end within 8 minutes")
