"""S3: encryption, conditional copies, what HEAD requires, and many requests at once."""

from __future__ import annotations

import collections
import concurrent.futures
import json

from botocore.exceptions import ClientError

from tests.deployed.account import Account, allow, error_of
from tests.deployed.instrument import probe
from tests.deployed.prices import Cost

_REQUESTS = 512


@probe(
    "An object that is uploaded with aws:kms and without a key, as SageMaker's SDK uploads sourcedir.tar.gz, is "
    "encrypted with the AWS managed key aws/s3",
    documented="S3 user guide, Using server-side encryption with AWS KMS keys",
    believed="aws:kms with aws/s3",
    costs=[Cost("S3 write or list request", 3), Cost("KMS request", 2)],
)
def code_is_encrypted_with_the_managed_key(account: Account) -> str:
    """Upload an object as the SDK does, and read its encryption."""
    bucket, s3 = account.bucket("code"), account.client("s3")
    s3.put_object(Bucket=bucket, Key="sourcedir.tar.gz", Body=b"code", ServerSideEncryption="aws:kms")
    return encryption(account, bucket, "sourcedir.tar.gz")


def encryption(account: Account, bucket: str, key: str) -> str:
    """Return the encryption of an object, and the alias of its key if it is an AWS managed one."""
    found = account.client("s3").head_object(Bucket=bucket, Key=key)
    if "SSEKMSKeyId" not in found:
        return str(found.get("ServerSideEncryption", "none"))
    aliases = account.client("kms").list_aliases(KeyId=found["SSEKMSKeyId"].rpartition("/")[2])["Aliases"]
    is_managed = "alias/aws/s3" in {alias["AliasName"] for alias in aliases}
    return f"{found['ServerSideEncryption']} with {'aws/s3' if is_managed else found['SSEKMSKeyId']}"


@probe(
    "The policy of aws/s3 allows every principal of the account to use it through S3, and no other account",
    documented="assumed: embedded_aws/iam/attached_policies.py",
    believed='{"AWS": "*"} if kms:CallerAccount and kms:ViaService are those of the account and S3',
    not_modeled="moto has no policies of AWS managed keys. The decisions of IAM follow the policy in the belief.",
    costs=[Cost("KMS request", 2)],
)
def policy_of_the_managed_key(account: Account) -> str:
    """Read the policy of aws/s3, and describe the statement that allows its use."""
    kms = account.client("kms")
    key = kms.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]["KeyId"]
    for statement in json.loads(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"])["Statement"]:
        if "kms:Decrypt" in statement["Action"]:
            expected = {"kms:CallerAccount": account.number, "kms:ViaService": f"s3.{account.region}.amazonaws.com"}
            found = statement["Condition"]["StringEquals"]
            whose = "the account and S3" if found == expected else json.dumps(found)
            return f"{json.dumps(statement['Principal'])} if {' and '.join(sorted(found))} are those of {whose}"
    return "no statement with kms:Decrypt"


@probe(
    "CopyObject with If-None-Match: * does not overwrite, in every partition",
    documented="S3 API reference, CopyObject (If-None-Match); not stated for GovCloud and China",
    believed="PreconditionFailed",
    costs=[Cost("S3 write or list request", 4)],
)
def a_conditional_copy_does_not_overwrite(account: Account) -> str:
    """Copy an object to a key that exists."""
    bucket, s3 = account.bucket("copy"), account.client("s3")
    for key in ("source", "target"):
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    request = {"Bucket": bucket, "Key": "target", "CopySource": {"Bucket": bucket, "Key": "source"}}
    says = error_of(lambda: s3.copy_object(**request, IfNoneMatch="*"))
    overwritten = s3.get_object(Bucket=bucket, Key="target")["Body"].read() != b"target"
    return says + (", but the object was overwritten" if overwritten else "")


@probe(
    "HEAD returns the number of tags only to a caller with s3:GetObjectTagging",
    documented="S3 API reference, HeadObject (TagCount)",
    believed="with the permission 1, without it none",
    not_modeled="The embedded S3 returns the number to every caller who can read the object.",
    costs=[Cost("S3 write or list request", 2)],
)
def head_returns_the_number_of_tags(account: Account) -> str:
    """Send HEAD with and without s3:GetObjectTagging."""
    bucket, s3 = account.bucket("tags"), account.client("s3")
    s3.put_object(Bucket=bucket, Key="object", Body=b"", Tagging="team=reviews")
    objects = f"arn:{account.partition}:s3:::{bucket}/*"
    role = account.role("tags", [allow(["s3:GetObject", "s3:GetObjectTagging"], objects)])

    def tags(*actions: str) -> str:
        client = account.client("s3", account.session_of(role, allow(list(actions), objects)))
        found = account.settling(lambda: client.head_object(Bucket=bucket, Key="object"), "403")
        return str(found.get("TagCount", "none"))

    return f"with the permission {tags('s3:GetObject', 's3:GetObjectTagging')}, without it {tags('s3:GetObject')}"


@probe(
    "HEAD with x-amz-checksum-mode is denied without kms:Decrypt, rather than answered without the checksum",
    documented="assumed: embedded_aws/services/s3/permissions.py, functions/promotion/copying/pinning.py",
    believed="without the mode answered, with it 403",
    costs=[Cost("KMS key", 1), Cost("KMS request", 5), Cost("S3 write or list request", 3)],
)
def head_for_a_checksum_requires_the_key(account: Account) -> str:
    """Send HEAD for an encrypted object without kms:Decrypt."""
    key = account.client("kms").create_key(Description="A probe of Model Promotion")["KeyMetadata"]["KeyId"]
    account.ledger.add("kms", "schedule_key_deletion", KeyId=key, PendingWindowInDays=7)
    bucket = account.bucket("head", SSEAlgorithm="aws:kms", KMSMasterKeyID=account.arn("kms", f"key/{key}"))
    account.client("s3").put_object(Bucket=bucket, Key="object", Body=b"x", ChecksumAlgorithm="CRC64NVME")
    role = account.role("head", [allow("s3:GetObject", f"arn:{account.partition}:s3:::{bucket}/*")])
    client = account.client("s3", account.session_of(role))

    def head(**mode: str) -> str:
        try:
            found = client.head_object(Bucket=bucket, Key="object", **mode)
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return "answered with the checksum" if "ChecksumCRC64NVME" in found else "answered"

    account.settling(lambda: client.head_object(Bucket=bucket, Key="object"), "403")
    return f"without the mode {head()}, with it {head(ChecksumMode='ENABLED')}"


@probe(
    f"S3 answers {_REQUESTS} requests in flight for new keys of one bucket without SlowDown",
    documented="S3 user guide, Best practices design patterns (3,500 writes a second); assumed for a burst",
    believed=f"{_REQUESTS} times 200",
    costs=[Cost("S3 write or list request", _REQUESTS + 2)],
)
def s3_answers_many_requests_at_once(account: Account) -> str:
    """Copy an object many times at once, without retries."""
    bucket, s3 = account.bucket("many"), account.client("s3", retries=False)
    s3.put_object(Bucket=bucket, Key="source", Body=b"x")

    def copy(number: int) -> str:
        source = {"Bucket": bucket, "Key": "source"}
        try:
            answer = s3.copy_object(Bucket=bucket, Key=f"target/{number}", CopySource=source, IfNoneMatch="*")
        except ClientError as error:
            return f"{error.response['ResponseMetadata']['HTTPStatusCode']} {error.response['Error']['Code']}"
        return str(answer["ResponseMetadata"]["HTTPStatusCode"])

    # The embedded AWS is one process, which the number of requests in flight does not change.
    with concurrent.futures.ThreadPoolExecutor(8 if account.is_embedded else _REQUESTS) as pool:
        counts = collections.Counter(pool.map(copy, range(_REQUESTS)))
    return ", ".join(f"{count} times {status}" for status, count in sorted(counts.items()))
