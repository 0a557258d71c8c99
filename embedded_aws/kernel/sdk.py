"""The AWS SDK of this process: a single session, and each data file of the SDK only once.

moto, the SDK's other sessions and even two clients of one session would load the model of a service again. That of
SageMaker takes 27 MB.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections import OrderedDict
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.loaders import JSONFileLoader
from botocore.model import ServiceModel

from embedded_aws.kernel import transport
from embedded_aws.kernel.accounts import endpoint_url

# The clients of S3 change its model (botocore.handlers.remove_bucket_from_url_paths_from_model), so it is not shared.
_UNSHARED = ("/s3/", "/s3control/")
# Used by all sessions of this process; what none of them uses any longer is forgotten.
_files: weakref.WeakValueDictionary[str, OrderedDict] = weakref.WeakValueDictionary()
_load_in_botocore = JSONFileLoader.load_file


def _load_file(loader: JSONFileLoader, path: str) -> Any:
    content = _files.get(path)
    if content is None:
        content = _load_in_botocore(loader, path)
        if isinstance(content, OrderedDict) and not any(name in path for name in _UNSHARED):
            _files[path] = content
    return content


JSONFileLoader.load_file = _load_file
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
