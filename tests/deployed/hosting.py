"""Models and endpoints of an account under test, on the smallest instances."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from tests.deployed.account import Account, allow, trusting

INSTANCE = "ml.t2.medium"
# Answers every request with the content of label.txt in the model, and with the variable PROBE_EMPTY.
SCRIPT = """
import json, os

def model_fn(model_dir):
    with open(os.path.join(model_dir, "label.txt")) as file:
        return file.read()

def input_fn(body, content_type):
    return body

def predict_fn(data, model):
    return {"label": model, "empty": os.environ.get("PROBE_EMPTY")}

def output_fn(prediction, accept):
    return json.dumps(prediction), "application/json"
"""
# The accounts of AWS's scikit-learn image ("Docker Registry Paths and Example Code", SageMaker AI).
_REGISTRIES = {
    "ap-northeast-1": "354813040037",
    "ap-northeast-2": "366743142698",
    "ap-south-1": "720646828776",
    "ap-southeast-1": "121021644041",
    "ap-southeast-2": "783357654285",
    "ca-central-1": "341280168497",
    "eu-central-1": "492215442770",
    "eu-north-1": "662702820516",
    "eu-west-1": "141502667606",
    "eu-west-2": "764974769150",
    "eu-west-3": "659782779980",
    "sa-east-1": "737474898029",
    "us-east-1": "683313688378",
    "us-east-2": "257758044811",
    "us-gov-west-1": "414596584902",
    "us-west-1": "746614075791",
    "us-west-2": "246618743249",
}
PULL = ["ecr:GetAuthorizationToken", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
PULL += ["ecr:BatchCheckLayerAvailability"]
LOG = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"]


def image(region: str) -> str:
    """Return the URI of AWS's scikit-learn image, which trains and serves scripts. Raise KeyError for other regions."""
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"{_REGISTRIES[region]}.dkr.ecr.{region}.{suffix}/sagemaker-scikit-learn:1.2-1-cpu-py3"


def tar(files: Mapping[str, bytes]) -> bytes:
    """Return a complete tar file."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as target:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            target.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def archive(files: Mapping[str, bytes]) -> bytes:
    """Return a tar.gz file of one gzip member."""
    return gzip.compress(tar(files), mtime=0)


class Hosting:
    """The models, configs and endpoints of one account, with one bucket and one execution role."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.sagemaker = account.client("sagemaker")
        self.bucket = account.bucket("models")
        objects = f"arn:{account.partition}:s3:::{self.bucket}/*"
        statements = [allow("s3:GetObject", objects), allow(LOG), allow(PULL), allow("cloudwatch:DescribeAlarms")]
        # As the serving role of application.yaml.
        trust = trusting(
            "sagemaker",
            StringEquals={"aws:SourceAccount": account.number},
            ArnLike={"aws:SourceArn": account.arn("sagemaker", "*")},
        )
        self.role = account.role("serving", statements, trust)

    def model(self, label: str, body: bytes | None = None, image_uri: str = "") -> str:
        """Create a model of an archive, by default one that answers with its label, and return its name."""
        name, account = self.account.name(label), self.account
        packed = archive({"label.txt": label.encode(), "code/inference.py": SCRIPT.encode()}) if body is None else body
        account.client("s3").put_object(Bucket=self.bucket, Key=f"{label}/model.tar.gz", Body=packed)
        account.ledger.add("sagemaker", "delete_model", ModelName=name)
        container = {
            "Image": image_uri or image(account.region),
            "ModelDataUrl": f"s3://{self.bucket}/{label}/model.tar.gz",
            "Environment": {
                "SAGEMAKER_PROGRAM": "inference.py",
                "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
                "SAGEMAKER_REGION": account.region,
                "PROBE_EMPTY": "",
            },
        }

        def create() -> None:
            self.sagemaker.create_model(ModelName=name, ExecutionRoleArn=self.role, PrimaryContainer=container)

        # SageMaker reports a new role like one without trust or permissions.
        account.settling(create, "Could not assume role", "could not be assumed", "Could not access model data")
        return name

    def config(self, label: str, counts: Mapping[str, int], model: str, **more: Any) -> str:
        """Create a config whose variants have these instance counts and one model, and return its name."""
        name = self.account.name(label)
        self.account.ledger.add("sagemaker", "delete_endpoint_config", EndpointConfigName=name)
        variants = [
            {
                "VariantName": variant,
                "ModelName": model,
                "InstanceType": INSTANCE,
                "InitialInstanceCount": count,
                "InitialVariantWeight": 1.0,
            }
            for variant, count in counts.items()
        ]
        self.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants, **more)
        return name

    def endpoint(self, label: str, config: str) -> str:
        """Create an endpoint, and return its name when it is at rest."""
        name = self.account.name(label)
        self.account.ledger.add("logs", "delete_log_group", logGroupName=f"/aws/sagemaker/Endpoints/{name}")
        self.account.ledger.add("sagemaker", "delete_endpoint", EndpointName=name)
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
        self.at_rest(name)
        return name

    def describe(self, endpoint: str) -> dict[str, Any]:
        """Return the description of an endpoint."""
        return dict(self.sagemaker.describe_endpoint(EndpointName=endpoint))

    def at_rest(self, endpoint: str, config: str = "") -> dict[str, Any]:
        """Wait until an endpoint is at rest, with `config` if it is given and unless it is rolled back."""

        def poll() -> dict[str, Any] | None:
            found = self.describe(endpoint)
            busy = found["EndpointStatus"] in ("Creating", "Updating", "RollingBack", "SystemUpdating")
            return None if busy else found

        if config:
            # An update can take some seconds until it shows.
            self.account.pause(0 if self.account.is_embedded else 20)
        return self.account.wait(poll, f"the endpoint {endpoint}", 3600)

    def update(self, endpoint: str, config: str, **more: Any) -> dict[str, Any]:
        """Update an endpoint, and return its description when it is at rest."""
        self.sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=config, **more)
        return self.at_rest(endpoint, config)

    def answer(self, endpoint: str) -> str:
        """Return the label that an endpoint answers with, or the error of the invocation."""
        try:
            return str(self.invoke(endpoint)["label"])
        except ClientError as error:
            return str(error.response["Error"]["Code"])

    def invoke(self, endpoint: str) -> dict[str, Any]:
        """Return the response of an endpoint."""
        response = self.account.client("sagemaker-runtime").invoke_endpoint(
            EndpointName=endpoint, Body=b"{}", ContentType="application/json", Accept="application/json"
        )
        return dict(json.loads(response["Body"].read()))
