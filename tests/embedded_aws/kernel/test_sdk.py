"""The sessions of the AWS SDK in one process share the models of services."""

import gc

import botocore.session
from botocore.loaders import Loader

from embedded_aws.aws import EmbeddedAws
from embedded_aws.iam import clients
from embedded_aws.kernel import sdk
from embedded_aws.kernel.accounts import ACCOUNTS, REGION


def model(service: str) -> object:
    return Loader().load_service_model(service, "service-2")


def test_sessions_share_the_model_of_a_service() -> None:
    first = model("sagemaker")

    assert model("sagemaker") is first
    assert botocore.session.get_session().get_service_data("sagemaker") is first


def test_a_model_that_no_session_uses_is_forgotten() -> None:
    used = model("polly")
    known = [path for path in sdk._files if "/polly/" in path]

    del used
    gc.collect()

    assert known != []
    assert [path for path in sdk._files if "/polly/" in path] == []


def test_a_client_of_s3_does_not_change_the_model_of_other_sessions(aws: EmbeddedAws, name: str) -> None:
    s3 = clients.client_as_operator("s3", ACCOUNTS["qa"])
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.list_objects_v2(Bucket=name)

    uri = botocore.session.get_session().get_service_model("s3").operation_model("ListObjectsV2").http["requestUri"]

    assert uri == "/{Bucket}?list-type=2"
