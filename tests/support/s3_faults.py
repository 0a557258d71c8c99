"""Errors of AWS in the form that boto3 raises."""

from botocore.exceptions import ClientError


def client_error(code: str, message: str = "", operation: str = "Operation") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


def already_exists(what: str, name: str) -> ClientError:
    return client_error(
        "ValidationException",
        f'Cannot create already existing {what} "arn:aws:sagemaker:eu-west-1:222222222222:{what}/{name}".',
    )


def not_found(what: str, name: str) -> ClientError:
    return client_error(
        "ValidationException", f'Could not find {what} "arn:aws:sagemaker:eu-west-1:222222222222:{what}/{name}".'
    )
