"""Services of moto without patches: the permissions that calls to SQS, STS and KMS require."""

from __future__ import annotations

from moto.sqs.models import sqs_backends

from embedded_aws.iam.permissions import Call, Need, Needs, Permissions, key, key_arn, tags


def _sqs(call: Call) -> Needs:
    if "QueueUrl" not in call.parameters:
        return
    account, name = call.parameters["QueueUrl"].rstrip("/").split("/")[-2:]
    arn = f"arn:aws:sqs:{call.region}:{account}:{name}"
    action = {"SendMessageBatch": "SendMessage", "DeleteMessageBatch": "DeleteMessage"}.get(
        call.operation, call.operation
    )
    yield Need(f"sqs:{action}", (arn,), tags({}))
    queue = sqs_backends[account][call.region].queues.get(name)
    # SQS developer guide, "Key management" (sqs-key-management): producers need both, consumers only Decrypt.
    if queue and queue.kms_master_key_id and action in ("SendMessage", "ReceiveMessage"):
        for use in ("GenerateDataKey", "Decrypt") if action == "SendMessage" else ("Decrypt",):
            yield key(use, queue.kms_master_key_id, account, call.region, "sqs", {"aws:sqs:arn": arn})


def _sts(call: Call) -> Needs:
    if call.operation == "AssumeRole":
        context = {
            "sts:externalid": call.parameters.get("ExternalId"),
            "sts:rolesessionname": call.parameters.get("RoleSessionName"),
            "sts:sourceidentity": call.parameters.get("SourceIdentity"),
        }
        yield Need("sts:AssumeRole", (call.parameters["RoleArn"],), context)


def _kms(call: Call) -> Needs:
    match call.operation:
        case "Decrypt" | "Encrypt" | "GenerateDataKey" | "DescribeKey":
            if key_id := call.parameters.get("KeyId"):
                context = {"kms:viaservice": None, "kms:calleraccount": call.account}
                yield Need(f"kms:{call.operation}", (key_arn(key_id, call.account, call.region),), context)


PERMISSIONS = {
    "sqs": Permissions(_sqs),
    # "No permissions are required to perform this operation" (API_GetCallerIdentity).
    "sts": Permissions(_sts, free=frozenset({"GetCallerIdentity"})),
    "kms": Permissions(_kms),
}
