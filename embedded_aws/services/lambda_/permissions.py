"""The permissions that calls to Lambda require."""

from __future__ import annotations

from embedded_aws.iam.permissions import Call, Need, Needs, Permissions


def _required(call: Call) -> Needs:
    if call.operation != "Invoke":
        return
    name, qualifier = call.parameters["FunctionName"], call.parameters.get("Qualifier")
    parts = name.split(":")
    if not name.startswith("arn:"):
        # A name or <account>:function:<name>, each with or without a version or alias.
        account = parts[0] if len(parts) > 2 else call.account
        resource = ":".join(parts[2:] if len(parts) > 2 else parts)
        name = f"arn:aws:lambda:{call.region}:{account}:function:{resource}"
    yield Need("lambda:InvokeFunction", (f"{name}:{qualifier}" if qualifier else name,))


PERMISSIONS = {"lambda": Permissions(_required)}
