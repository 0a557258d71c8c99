"""The AWS SDK of this process, with a single session, because each session loads the service models again."""

from __future__ import annotations

import functools
import threading
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.model import ServiceModel

from embedded_aws.kernel import transport
from embedded_aws.kernel.accounts import endpoint_url

_botocore_session = botocore.session.get_session()
_session = boto3.session.Session(botocore_session=_botocore_session)
# A session may create only one client at a time.
_creating = threading.Lock()


def client(service: str, credentials: dict[str, str], region: str, config: Config) -> Any:
    """Return a client of the embedded AWS. `credentials` has the keys of an AWS config file."""
    # A constant user agent, because botocore composes its own again for every request.
    config = Config(user_agent="embedded-aws").merge(config)
    with _creating:
        made = _session.client(service, region_name=region, endpoint_url=endpoint_url(), config=config, **credentials)
    transport.connect(made)
    return made


@functools.cache
def service_model(service: str) -> ServiceModel:
    """Return the model of a service, which is given by its name in boto3."""
    return _botocore_session.get_service_model(service)
