"""People who work with a stage: sessions of roles with the managed policies of people.yaml."""

from __future__ import annotations

import json
from typing import Any

from botocore.config import Config

from embedded_aws.kernel import accounts, sdk
from tests.support.world import Stage

POLICIES = ("viewer", "operator", "approver", "platform")
EVERYTHING = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}'


class Person:
    """A person with managed policies of a stage, and with all other permissions if `is_administrator`."""

    def __init__(self, stage: Stage, name: str, *policies: str, is_administrator: bool = False) -> None:
        self._stage = stage
        iam = stage.client("iam")
        trust = {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{stage.account}:root"},
            "Action": "sts:AssumeRole",
        }
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        self.role_arn = str(iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"])
        for policy in policies:
            arn = f"arn:aws:iam::{stage.account}:policy/model-promotion-{stage.name}-{policy}"
            iam.attach_role_policy(RoleName=name, PolicyArn=arn)
        if is_administrator:
            iam.put_role_policy(RoleName=name, PolicyName="Administrator", PolicyDocument=EVERYTHING)

    def client(self, service: str) -> Any:
        """Return a client of this person."""
        session = self._stage.client("sts").assume_role(RoleArn=self.role_arn, RoleSessionName="person")["Credentials"]
        credentials = {
            "aws_access_key_id": session["AccessKeyId"],
            "aws_secret_access_key": session["SecretAccessKey"],
            "aws_session_token": session["SessionToken"],
        }
        return sdk.client(service, credentials, accounts.REGION, Config(retries={"total_max_attempts": 1}))
