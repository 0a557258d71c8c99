"""The settings of an application, with autoscaling, quality gate and retention."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from typing import Any

from promotion.endpoint.model import assert_accepted, stage_containers
from promotion.errors import InvalidRequestError, PromotionRefusedError
from promotion.plan import compatibility, settings
from promotion.plan.deployment import Deployment
from promotion.source import model_metrics, quality_gate
from promotion.source.model_metrics import UnreadableMetricsError
from tests.hostile_inputs.sources import IMAGE
from tests.hostile_inputs.trial import OWN, STRANGER, UPSTREAM, Hostile, Reader

PARAMETER = "/model-promotion/qa/reviews"
VARIANT = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
DEFAULTS = {"EndpointConfig": {"ProductionVariants": [VARIANT]}}
GROUP_ARN = "arn:aws:sagemaker:eu-west-1:444444444444:model-package-group/reviews"


def read(document: Any) -> dict[str, Any]:
    text = document if isinstance(document, str) else json.dumps(document)
    stored = Reader(get_parameter={"Parameter": {"Value": text}})
    found = settings.load(stored, "qa", "reviews", DEFAULTS, UPSTREAM)
    assert found is not None
    return found


def variant(**members: Any) -> dict[str, Any]:
    return {"EndpointConfig": {"ProductionVariants": [members]}}


def container(**members: Any) -> dict[str, Any]:
    return {"Model": {"PrimaryContainer": members}}


def documents() -> Iterator[Hostile]:
    hostile = functools.partial(Hostile, "settings", where=PARAMETER)
    for what, document, says in (
        ("not JSON", "{'EndpointConfig': {}}", " JSON"),
        ("empty", "", " JSON"),
        ("a list", "[]", "JSON object"),
        ("a dynamic reference", "{{resolve:secretsmanager:production}}", " JSON"),
        ("nested 1,000 levels deep", '{"Model":' * 1_000 + "1" + "}" * 1_000, "more than 100 levels deep"),
        ("nested 100,000 levels deep", "[" * 100_000, "more than 100 levels deep"),
        ("with half of a surrogate pair", r'{"Model": "\ud800"}', "unpaired surrogate"),
        ("with a number of 5,000 digits", f'{{"Model": {"9" * 5_000}}}', "a number has 5000 digits"),
        ("with an unknown part", {"Endpoint": {}}, "unknown key 'Endpoint'"),
        ("with an unknown part of escape codes", {"\x1b[31m": {}}, r"unknown key '\x1b[31m'"),
        ("with an unknown part of 8 KiB", {"x" * 8192: {}}, "unknown key"),
        (
            "with training roles of another account",
            {"Sources": {"TrainingRoles": [f"arn:aws:iam::{STRANGER}:role/Trainer"]}},
            f"Sources.TrainingRoles[0] is in account {STRANGER}",
        ),
        (
            "with a life cycle without a status",
            {"Sources": {"ModelLifeCycle": {"Stage": "QA"}}},
            "StageStatus is missing",
        ),
        (
            "with a life cycle that has a description",
            {"Sources": {"ModelLifeCycle": {"Stage": "QA", "StageStatus": "Approved", "StageDescription": "x"}}},
            "Sources.ModelLifeCycle.StageDescription cannot be compared",
        ),
        ("with a life cycle of a line break", {"Sources": {"ModelLifeCycle": {"Stage": "a\nb"}}}, r"'a\nb'"),
        ("with kept variables that are a string", {"KeptVariables": "A"}, "KeptVariables is not a list"),
        ("with a kept variable of a line break", {"KeptVariables": ["a\n"]}, r"KeptVariables[0] is 'a\n'"),
        ("that require pinned weights by a number", {"RequirePinnedWeights": 1}, "must be true or false"),
        ("with a training role *", {"Sources": {"TrainingRoles": ["*"]}}, "Sources.TrainingRoles[0]"),
        ("with sources that are null", {"Sources": None}, "Sources is not an object"),
        ("that require 'no' rollback", {"RequireRollback": "no"}, "RequireRollback must be true or false"),
        ("that register into a path", {"RegisterInto": "../x"}, "RegisterInto is '../x'"),
        ("that register into another account", {"RegisterInto": GROUP_ARN}, "RegisterInto is an ARN"),
        ("that accept licenses by 'yes'", {"AcceptEula": "yes"}, "AcceptEula must be true or false"),
        ("that adopt 'yes'", {"AdoptExisting": "yes"}, "AdoptExisting must be true or false"),
        ("with tags that are a map", {"Tags": {"team": "x"}}, "not a list"),
        ("with a tag of AWS", {"Tags": [{"Key": "aws:x", "Value": "y"}]}, "Tags[0].Key is 'aws:x'"),
        (
            "with the tag of another application",
            {"Tags": [{"Key": "Model-Promotion:application", "Value": "payments"}]},
            "Tags[0].Key is 'Model-Promotion:application'",
        ),
        ("with a tag twice", {"Tags": [{"Key": "a", "Value": "1"}] * 2}, "Tags has the Key 'a' twice"),
        ("with a tag of a line break", {"Tags": [{"Key": "a\nb", "Value": "1"}]}, r"Tags[0].Key is 'a\nb'"),
        ("with 51 tags", {"Tags": [{"Key": f"k{n}", "Value": ""} for n in range(51)]}, "Tags has 51 members"),
        ("with 1,000 mistakes", {"EndpointConfig": {f"key{n}": n for n in range(1_000)}}, "and 990 more"),
    ):
        yield hostile(what, functools.partial(read, document), says)


def endpoint() -> Iterator[Hostile]:
    hostile = functools.partial(Hostile, "settings, EndpointConfig", where=PARAMETER)
    count, weight = "InitialInstanceCount", "InitialVariantWeight"
    for what, document, says in (
        ("0 instances", variant(InitialInstanceCount=0), f"[0].{count} is 0, below the minimum of 1"),
        ("-1 instances", variant(InitialInstanceCount=-1), f"[0].{count} is -1, below the minimum of 1"),
        ("1.5 instances", variant(InitialInstanceCount=1.5), f"[0].{count} is 1.5, not an integer"),
        ('"1" instances', variant(InitialInstanceCount="1"), f"[0].{count} is '1', not an integer"),
        ("true instances", variant(InitialInstanceCount=True), f"[0].{count} is true"),
        ("10^12 instances", variant(InitialInstanceCount=10**12), f"[0].{count} is 1000000000000"),
        ("10^300 instances", variant(InitialInstanceCount=10**300), f"[0].{count} is 1000"),
        ("an unknown type of instances", variant(InstanceType="ml.m5.huge"), "[0].InstanceType is 'ml.m5.huge'"),
        ("a weight of -1", variant(InitialVariantWeight=-1), f"[0].{weight} is -1, below the minimum of 0"),
        ("a weight of NaN", variant(InitialVariantWeight=float("nan")), "NaN is not a number"),
        ("a weight of Infinity", variant(InitialVariantWeight=float("inf")), "Infinity is not a number"),
        (
            "a weight of 1e400",
            json.dumps(variant(InitialVariantWeight=0)).replace(": 0}", ": 1e400}"),
            "the number 1e400 is too large",
        ),
        ("a weight of 10^399", variant(InitialVariantWeight=10**399), f"[0].{weight} is 1000"),
        ('a weight of "1"', variant(InitialVariantWeight="1"), f"[0].{weight} is '1', not a number"),
        ("a model of its own", variant(ModelName="other"), "ModelName in each variant, so that none would serve"),
        ("a volume of 10^6 GB", variant(VolumeSizeInGB=10**6), "[0].VolumeSizeInGB is 1000000"),
        (
            "two variants of one name",
            {"EndpointConfig": {"ProductionVariants": [VARIANT | {"VariantName": "a"}] * 2}},
            "the same VariantName twice",
        ),
        ("no variant", {"EndpointConfig": {"ProductionVariants": []}}, "ProductionVariants"),
        (
            "a role of another account",
            {"EndpointConfig": {"ExecutionRoleArn": f"arn:aws:iam::{STRANGER}:role/admin"}},
            "EndpointConfig.ExecutionRoleArn is",
        ),
        ("a key that is markup", {"EndpointConfig": {"KmsKeyId": "<script>"}}, "EndpointConfig.KmsKeyId is '<script>'"),
        ("tags aws:*", {"EndpointConfig": {"Tags": [{"Key": "aws:x", "Value": "y"}]}}, "EndpointConfig.Tags is"),
        (
            "answers written to the instance's credentials",
            {
                "EndpointConfig": {
                    "AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "http://169.254.169.254/x"}}
                }
            },
            "OutputConfig.S3OutputPath is 'http://169.254.169.254/x'",
        ),
        (
            "notifications to a web page",
            {
                "EndpointConfig": {
                    "AsyncInferenceConfig": {
                        "OutputConfig": {"NotificationConfig": {"SuccessTopic": "http://localhost:8080"}}
                    }
                }
            },
            "NotificationConfig.SuccessTopic is 'http://localhost:8080'",
        ),
        ("a deployment that is a string", {"DeploymentConfig": "canary"}, "DeploymentConfig is not an object"),
    ):
        yield hostile(what, functools.partial(read, document), says)

    def weightless() -> None:
        found = read(
            {
                "EndpointConfig": {
                    "ProductionVariants": [
                        VARIANT | {"VariantName": name, "InitialVariantWeight": 0} for name in ("a", "b")
                    ]
                }
            }
        )
        deployment = Deployment(found, [], "", False, "skip", [], "reviews-qa", None, set())
        raise InvalidRequestError(" ".join(compatibility.refusals(deployment)))

    yield hostile(
        "weights that come to 0", weightless, "All ProductionVariants have an InitialVariantWeight of 0", where=""
    )


def model() -> Iterator[Hostile]:
    hostile = functools.partial(Hostile, "settings, Model", where=PARAMETER)
    environment = "Model.PrimaryContainer.Environment"
    for what, document, says in (
        (
            "a role of another account",
            {"Model": {"ExecutionRoleArn": f"arn:aws:iam::{STRANGER}:role/admin"}},
            "Model.ExecutionRoleArn is set by the promotion",
        ),
        (
            "a role of this account",
            {"Model": {"ExecutionRoleArn": f"arn:aws:iam::{OWN}:role/admin"}},
            "Model.ExecutionRoleArn is set by the promotion",
        ),
        ("tags", {"Model": {"Tags": []}}, "Model.Tags is set by the promotion"),
        ("artifacts", container(ModelDataUrl="s3://b/k"), "ModelDataUrl is set by the promotion"),
        (
            "a function that has the password of a registry",
            container(ImageConfig={"RepositoryAccessMode": "Vpc"}),
            "ImageConfig is set by the promotion",
        ),
        ("an image with a space", container(Image="a b"), "Image is 'a b', which does not match"),
        ("an image of 256 characters", container(Image="x" * 256), "Image has 256 characters"),
        ("a key of its own", container(Environment={"AWS_SECRET_ACCESS_KEY": "x"}), f"{environment}.AWS_SECRET"),
        ("a role of its own", container(Environment={"AWS_ROLE_ARN": "x"}), f"{environment}.AWS_ROLE_ARN"),
        (
            "credentials of an address",
            container(Environment={"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://x"}),
            f"{environment}.AWS_CONTAINER_CREDENTIALS_FULL_URI",
        ),
        ("101 variables", container(Environment={f"V{n}": "x" for n in range(101)}), f"{environment} has 101 members"),
        ("a variable of 1,025 characters", container(Environment={"V": "x" * 1025}), f"{environment}.V has 1025"),
        ("a variable that is a number", container(Environment={"V": 1}), f"{environment}.V is 1, not a string"),
        ("a variable that is null", container(Environment={"V": None}), f"{environment}.V is null"),
        ("a variable's name with =", container(Environment={"A=B": "x"}), f"{environment} has the key 'A=B'"),
        ("a variable's name with a line break", container(Environment={"A\nB": "x"}), r"has the key 'A\nB'"),
        ("an environment that is a list", container(Environment=["x"]), f"{environment} is a list"),
        ("a VPC without groups", {"Model": {"VpcConfig": {"Subnets": ["s"]}}}, "VpcConfig.SecurityGroupIds is missing"),
    ):
        yield hostile(what, functools.partial(read, document), says)
    for what, value in (
        ("a dynamic reference", "{{resolve:ssm:/production/password}}"),
        ("a JSONata expression", "{% $states.context.Execution.Id %}"),
        ("a JSONPath", "$$.Execution.Id"),
        ("JSON that closes a string", '"},"Next":"Promoted"'),
        ("a substitution", "${PromotionTableName}"),
        ("a line that looks like a log's", '\n{"level":"ERROR","message":"all is lost"}'),
    ):
        act = functools.partial(read, container(Environment={"V": value}))

        def is_text(found: Any, value: str = value) -> bool:
            return bool(found["Model"]["PrimaryContainer"]["Environment"]["V"] == value)

        yield hostile(f"a variable that is {what}", act, "copied as a string", None, is_text)

    def crowded() -> Any:
        own, more = ({f"{name}{n}": "x" for n in range(60)} for name in "AB")
        whole = stage_containers([{"Image": IMAGE, "Environment": own}], container(Environment=more)["Model"])
        return assert_accepted(whole, "reviews-1")

    says = "Containers[0].Environment has 120 members, above the maximum of 100"
    yield hostile("60 variables beside 60 of the model's", crowded, says, PromotionRefusedError, where="")


def scaling() -> Iterator[Hostile]:
    hostile = functools.partial(Hostile, "settings, Autoscaling", where=PARAMETER)
    good = {"MinCapacity": 1, "MaxCapacity": 4}
    for what, document, says in (
        ("a string", "max", "Autoscaling is not an object"),
        ("a minimum of -1", good | {"MinCapacity": -1}, "MinCapacity"),
        ("a minimum above the maximum", {"MinCapacity": 5, "MaxCapacity": 4}, "to MaxCapacity, which is 4"),
        ('a minimum of "1"', good | {"MinCapacity": "1"}, "Autoscaling.MinCapacity is '1', not an integer"),
        ("a minimum of 1.5", good | {"MinCapacity": 1.5}, "Autoscaling.MinCapacity is 1.5, not an integer"),
        ("a minimum of true", good | {"MinCapacity": True}, "Autoscaling.MinCapacity is true"),
        ("a maximum of 10^300", good | {"MaxCapacity": 10**300}, "Autoscaling.MaxCapacity is 1000"),
        ("an unknown key of escape codes", good | {"\x1b[31m": 1}, r"unknown key '\x1b[31m'"),
        ("a role", good | {"RoleARN": f"arn:aws:iam::{STRANGER}:role/x"}, "unknown key 'RoleARN'"),
        ("policies that are an object", good | {"ScalingPolicies": {}}, "Autoscaling.ScalingPolicies is not a list"),
        ("a policy of another's", good | {"ScalingPolicies": [{"ResourceId": "x"}]}, "ScalingPolicies[0].ResourceId"),
        ("a policy without a name", good | {"ScalingPolicies": [{}]}, "ScalingPolicies[0].PolicyName is missing"),
        (
            "a policy with an unknown key of a line break",
            good | {"ScalingPolicies": [{"PolicyName": "x", "a\nb": 1}]},
            r"ScalingPolicies[0] has the unknown key 'a\nb'",
        ),
        (
            "an action at noon",
            good | {"ScheduledActions": [{"ScheduledActionName": "x", "StartTime": "at noon"}]},
            "ScheduledActions[0].StartTime is 'at noon', not a timestamp",
        ),
    ):
        act = functools.partial(read, {"Autoscaling": document})
        yield hostile(what, act, says)


def gate() -> Iterator[Hostile]:
    hostile = functools.partial(Hostile, "settings, QualityGate", where=PARAMETER)
    for what, rules, says in (
        ("a string", "f1 > 0.9", "QualityGate must be a list"),
        ("empty", [], "QualityGate must be a list"),
        ("a rule that is a string", ["f1"], "QualityGate[0] is not an object"),
        ("a rule of no metric", [{"Minimum": 1}], "QualityGate[0] has no valid MetricName"),
        ("a metric with a line break", [{"MetricName": "f1\n", "Minimum": 1}], "has no valid MetricName"),
        ("a metric with escape codes", [{"MetricName": "\x1b[31m", "Minimum": 1}], "has no valid MetricName"),
        ("a metric of 256 characters", [{"MetricName": "f" * 256, "Minimum": 1}], "has no valid MetricName"),
        ("a rule without a limit", [{"MetricName": "f1"}], "QualityGate[0] has no limit"),
        ('a minimum of "0.9"', [{"MetricName": "f1", "Minimum": "0.9"}], "has a Minimum that is not a number"),
        ("a minimum of true", [{"MetricName": "f1", "Minimum": True}], "has a Minimum that is not a number"),
        ("a minimum of NaN", [{"MetricName": "f1", "Minimum": float("nan")}], "NaN is not a number"),
        ("a maximum of 10^399", [{"MetricName": "f1", "Maximum": 10**399}], "has a Maximum that is not a number"),
        ("a minimum above the maximum", [{"MetricName": "f1", "Minimum": 2, "Maximum": 1}], "Minimum above"),
        ("an unknown key", [{"MetricName": "f1", "Minimum": 1, "Skip": True}], "unknown key 'Skip'"),
        ("a negative tolerance", [_rule(NotWorseThanLiveBy=-1)], "negative NotWorseThanLiveBy"),
        ("a type of its own", [_rule(Type="Best")], "has the Type 'Best'"),
    ):
        yield hostile(what, functools.partial(read, {"QualityGate": rules}), says)
    for what, keep, says in (
        ("0", 0, "Retention.Keep is '0'"),
        ("-1", -1, "Retention.Keep is '-1'"),
        ("2.5", 2.5, "Retention.Keep is '2.5'"),
        ('"5"', "5", "Retention.Keep is '5'"),
        ("true", True, "Retention.Keep is 'True'"),
        ("10^6", 10**6, "Retention.Keep is '1000000'"),
        ("10^399", 10**399, "Retention.Keep is '1000"),
    ):
        act = functools.partial(read, {"Retention": {"Keep": keep}})
        yield Hostile("settings, Retention", f"{what} to be kept", act, says, where=PARAMETER)
    act = functools.partial(read, {"Retention": 5})
    yield Hostile("settings, Retention", "a number", act, "Retention")


def _rule(**members: Any) -> dict[str, Any]:
    return {"MetricName": "f1", "Type": "Maximize", "NotWorseThanLiveBy": 0, **members}


def of_metrics() -> Iterator[Hostile]:
    hostile = functools.partial(Hostile, "file of metrics", refusal=UnreadableMetricsError)
    for what, text, says in (
        ("not JSON", b"f1=0.9", "it is not valid JSON"),
        ("not text", b"\xff\xfe\x00", "it is not valid JSON"),
        ("a list", b"[0.9]", "it is not a JSON object"),
        ("nested 100,000 levels deep", b'{"a":' * 100_000, "nested too deeply"),
        ("of 101 numbers", json.dumps({f"f{n}": n for n in range(101)}).encode(), "has 101 numbers"),
    ):
        yield hostile(what, functools.partial(model_metrics.read, text), says)
    odd = b'{"a": NaN, "b": Infinity, "c": 1e400, "d": true, "e": "1", "f\\n": 1, "\\u202e": 1, "g": 0.5}'
    how = "only numbers with valid names are read"
    act = functools.partial(model_metrics.read, odd)
    yield Hostile(
        "file of metrics", "NaN, true, strings and invalid names", act, how, None, lambda found: found == {"g": 0.5}
    )

    def gated() -> str | None:
        checks = quality_gate.check([{"MetricName": "f1", "Minimum": 0.9}], model_metrics.read(odd), None)
        return quality_gate.why_failed(checks)

    how = "a missing metric fails"
    yield Hostile(
        "file of metrics", "without the metric of the gate", gated, how, None, lambda why: "no metric f1" in why
    )


def every() -> Iterator[Hostile]:
    yield from documents()
    yield from endpoint()
    yield from model()
    yield from scaling()
    yield from gate()
    yield from of_metrics()
