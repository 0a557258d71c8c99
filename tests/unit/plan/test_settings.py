import copy
import json
from typing import Any

import boto3
import pytest

from promotion.errors import InvalidRequestError, PromotionRefusedError
from promotion.plan.settings import load, parameter_name, read
from tests.support.s3_faults import client_error

PARAMETER = "/model-promotion/qa/reviews"
UPSTREAM = "111111111111"
DEFAULTS = {"EndpointConfig": {"ProductionVariants": [{"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}]}}
SUITE = {"cases": [{"name": "one", "body": [1], "expect": "length(@) == `1`"}]}
VPC = {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}


def settings(given: Any) -> dict[str, Any]:
    return read(json.dumps(given), PARAMETER, DEFAULTS, UPSTREAM)


def refusal(text: str) -> str:
    with pytest.raises(InvalidRequestError) as error:
        read(text, PARAMETER, DEFAULTS, UPSTREAM)
    assert PARAMETER in str(error.value)
    return str(error.value)


def test_the_parameter_name_has_the_stage_and_the_application() -> None:
    assert parameter_name("qa", "reviews") == PARAMETER


@pytest.mark.parametrize("application", ["My Reviews", "reviews:3", "../production/reviews", "a/b", ""])
def test_an_invalid_application_name_has_no_parameter(application: str) -> None:
    with pytest.raises(InvalidRequestError, match="lowercase letters"):
        parameter_name("qa", application)


def test_without_settings_the_defaults_apply() -> None:
    assert read("{}", PARAMETER, DEFAULTS, UPSTREAM) == DEFAULTS


def test_the_defaults_are_never_changed() -> None:
    before = copy.deepcopy(DEFAULTS)

    changed = settings({"EndpointConfig": {"KmsKeyId": "key"}, "Model": {"VpcConfig": VPC}})
    changed["EndpointConfig"]["ProductionVariants"][0]["InstanceType"] = "ml.p4d.24xlarge"

    assert before == DEFAULTS


def test_settings_override_the_defaults_member_by_member() -> None:
    assert settings({"EndpointConfig": {"KmsKeyId": "key"}}) == {
        "EndpointConfig": {
            "KmsKeyId": "key",
            "ProductionVariants": [{"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}],
        }
    }


def test_a_serverless_variant_replaces_the_default_variant() -> None:
    serverless = [{"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}}]

    assert settings({"EndpointConfig": {"ProductionVariants": serverless}}) == {
        "EndpointConfig": {"ProductionVariants": serverless}
    }


def test_settings_accept_the_members_of_the_sagemaker_api() -> None:
    given = {
        "EndpointConfig": {
            "ProductionVariants": [
                {
                    "InstanceType": "ml.g5.xlarge",
                    "InitialInstanceCount": 2,
                    "InitialVariantWeight": 1.0,
                    "ContainerStartupHealthCheckTimeoutInSeconds": 600,
                    "ManagedInstanceScaling": {"Status": "ENABLED", "MinInstanceCount": 1, "MaxInstanceCount": 4},
                }
            ],
            "DataCaptureConfig": {
                "InitialSamplingPercentage": 10,
                "DestinationS3Uri": "s3://captured/reviews",
                "CaptureOptions": [{"CaptureMode": "Input"}],
            },
            "KmsKeyId": "arn:aws:kms:eu-west-1:222222222222:key/1",
        },
        "Model": {
            "VpcConfig": VPC,
            "EnableNetworkIsolation": True,
            "PrimaryContainer": {"Image": "image", "Environment": {"LOG_LEVEL": "debug"}},
        },
    }

    assert settings(given) == given


def test_an_invalid_default_does_not_prevent_reading_the_settings() -> None:
    wrong = {"EndpointConfig": {"ProductionVariants": [{"InstanceType": "m5.large", "InitialInstanceCount": 1}]}}

    assert read("{}", PARAMETER, wrong, UPSTREAM) == wrong
    own = '{"EndpointConfig": {"ProductionVariants": [{"InstanceType": "ml.m5.large"}]}}'
    assert (
        read(own, PARAMETER, wrong, UPSTREAM)["EndpointConfig"]["ProductionVariants"][0]["InstanceType"]
        == "ml.m5.large"
    )


@pytest.mark.parametrize("given", [{}, {"EndpointConfig": {"KmsKeyId": "key"}}])
def test_settings_can_be_read_without_defaults(given: dict[str, Any]) -> None:
    assert read(json.dumps(given), PARAMETER, {}, UPSTREAM) == given


def test_a_smoke_test_has_its_defaults() -> None:
    suite = settings({"SmokeTest": SUITE})["SmokeTest"]

    assert suite["repeat"] == 1
    assert suite["cases"][0]["content_type"] == "application/json"


def test_a_smoke_test_can_be_skipped() -> None:
    assert settings({"SmokeTest": "skip"})["SmokeTest"] == "skip"


@pytest.mark.parametrize("text", ["", "{", "words", "{'Model': {}}", '{"Model": {}} x', '{"a": 1,}'])
def test_invalid_json_is_refused(text: str) -> None:
    assert "are not valid JSON" in refusal(text)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_json_does_not_support_is_refused(number: str) -> None:
    text = '{"EndpointConfig": {"ProductionVariants": [{"InitialVariantWeight": %s}]}}' % number  # noqa: UP031

    assert "are not valid JSON" in refusal(text)


@pytest.mark.parametrize("text", ["[]", "null", '"skip"', "7", "true"])
def test_a_document_that_is_not_an_object_is_refused(text: str) -> None:
    assert "are not a JSON object" in refusal(text)


@pytest.mark.parametrize(
    ("key", "suggestion"),
    [
        ("endpointconfig", ' (did you mean "EndpointConfig"?)'),
        ("Endpointconfig", ' (did you mean "EndpointConfig"?)'),
        ("autoscaling", ' (did you mean "Autoscaling"?)'),
        ("x\x1b", ""),
        ("", ""),
    ],
)
def test_an_unknown_key_is_refused_with_a_suggestion_and_the_valid_keys(key: str, suggestion: str) -> None:
    message = refusal(json.dumps({key: {}}))

    assert f"unknown key {key!a}{suggestion}. Valid keys: EndpointConfig, DeploymentConfig, Model, " in message


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"EndpointConfig": []}, "EndpointConfig is not an object"),
        ({"EndpointConfig": None}, "EndpointConfig is not an object"),
        ({"Model": "m"}, "Model is not an object"),
        ({"EndpointConfig": {"EndpointConfigName": "x"}}, "EndpointConfig.EndpointConfigName is set by"),
        ({"EndpointConfig": {"Tags": []}}, "EndpointConfig.Tags is set by"),
        ({"Model": {"ModelName": "x"}}, "Model.ModelName is set by"),
        ({"Model": {"Tags": []}}, "Model.Tags is set by"),
        ({"Model": {"Containers": []}}, "Model.Containers is set by"),
        ({"Model": {"InferenceExecutionConfig": {}}}, "Model.InferenceExecutionConfig is set by"),
        ({"Model": {"ExecutionRoleArn": "x"}}, "Model.ExecutionRoleArn is set by"),
        (
            {"EndpointConfig": {"ProductionVariants": [{"VariantName": "x"}]}},
            "EndpointConfig.ProductionVariants[0].VariantName is set by",
        ),
        (
            {"EndpointConfig": {"ProductionVariants": [{"ModelName": "x"}]}},
            "EndpointConfig.ProductionVariants has a ModelName in each variant, so that none would serve the promoted",
        ),
        ({"EndpointConfig": {"ProductionVariants": {}}}, "ProductionVariants must be a list of at least one variant"),
        ({"EndpointConfig": {"ProductionVariants": []}}, "ProductionVariants must be a list of at least one variant"),
        ({"EndpointConfig": {"ProductionVariants": None}}, "ProductionVariants must be a list of at least one variant"),
        (
            {"EndpointConfig": {"ProductionVariants": [{}, {}]}},
            "ProductionVariants[0].VariantName is missing. Give each",
        ),
        (
            {"EndpointConfig": {"ProductionVariants": [{"VariantName": "a"}, {"VariantName": "a"}]}},
            "EndpointConfig.ProductionVariants has the same VariantName twice",
        ),
        ({"EndpointConfig": {"ProductionVariants": ["x"]}}, "EndpointConfig.ProductionVariants[0] is not an object"),
        (
            {"EndpointConfig": {"ShadowProductionVariants": []}},
            "ShadowProductionVariants must be a list of at least one variant",
        ),
        (
            {"EndpointConfig": {"ExecutionRoleArn": "x"}},
            "EndpointConfig.ExecutionRoleArn is set by the promotion for an inference component, from Model",
        ),
        (
            {"EndpointConfig": {"VpcConfig": {}}},
            "EndpointConfig.VpcConfig is set by the promotion for an inference component",
        ),
        (
            {"EndpointConfig": {"ProductionVariants": [{"AcceleratorType": "ml.eia1.large"}]}},
            "ProductionVariants[0].AcceleratorType is for Elastic Inference",
        ),
        (
            {"EndpointConfig": {"KmsKey": "x"}},
            "EndpointConfig has the unknown key 'KmsKey' (did you mean \"KmsKeyId\"?)",
        ),
        (
            {"EndpointConfig": {"ProductionVariants": [{"InstanceTyp": "x"}]}},
            "EndpointConfig.ProductionVariants[0] has the unknown key 'InstanceTyp' (did you mean \"InstanceType\"?)",
        ),
        (
            {"EndpointConfig": {"ProductionVariants": [{"InitialInstanceCount": "1"}]}},
            "EndpointConfig.ProductionVariants[0].InitialInstanceCount is '1', not an integer",
        ),
        (
            {"EndpointConfig": {"ProductionVariants": [{"InitialInstanceCount": 1.5}]}},
            "EndpointConfig.ProductionVariants[0].InitialInstanceCount is 1.5, not an integer",
        ),
        (
            {"EndpointConfig": {"ProductionVariants": [{"InitialInstanceCount": True}]}},
            "EndpointConfig.ProductionVariants[0].InitialInstanceCount is true, not an integer",
        ),
        (
            {"EndpointConfig": {"ProductionVariants": [{"InitialInstanceCount": 0}]}},
            "EndpointConfig.ProductionVariants[0].InitialInstanceCount is 0, below the minimum of 1",
        ),
        (
            {"EndpointConfig": {"ProductionVariants": [{"VolumeSizeInGB": 513}]}},
            "EndpointConfig.ProductionVariants[0].VolumeSizeInGB is 513, above the maximum of 512",
        ),
        (
            {"EndpointConfig": {"ProductionVariants": [{"InstanceType": "ml.m5.larg"}]}},
            "InstanceType is 'ml.m5.larg', which AWS does not know (did you mean \"ml.m5.large\"",
        ),
        (
            {"EndpointConfig": {"ProductionVariants": [{"RoutingConfig": {"RoutingStrategy": "BEST"}}]}},
            "RoutingStrategy is 'BEST', which AWS does not know; it must be one of LEAST_OUTSTANDING_REQUESTS,",
        ),
        (
            {"EndpointConfig": {"KmsKeyId": "key!"}},
            "EndpointConfig.KmsKeyId is 'key!', which does not match [a-zA-Z0-9:/_-]*",
        ),
        (
            {"EndpointConfig": {"DataCaptureConfig": {"DestinationS3Uri": "s3://b/p"}}},
            "EndpointConfig.DataCaptureConfig.InitialSamplingPercentage is missing",
        ),
        ({"Model": {"VpcConfig": {"Subnets": ["subnet-1"]}}}, "Model.VpcConfig.SecurityGroupIds is missing"),
        ({"Model": {"VpcConfig": []}}, "Model.VpcConfig is a list, not an object"),
        (
            {"Model": {"VpcConfig": {"Subnets": ["a b"], "SecurityGroupIds": ["sg-1"]}}},
            "Model.VpcConfig.Subnets[0] is 'a b', which does not match [-0-9a-zA-Z]+",
        ),
        (
            {"Model": {"VpcConfig": {"Subnets": [], "SecurityGroupIds": ["sg-1"]}}},
            "Model.VpcConfig.Subnets has 0 members, below the minimum of 1",
        ),
        (
            {"Model": {"PrimaryContainer": {"Environment": {"A": 1}}}},
            "Model.PrimaryContainer.Environment.A is 1, not a string",
        ),
        (
            {"Model": {"PrimaryContainer": {"Environment": {"1A": "x"}}}},
            "Environment has the key '1A', which is '1A', which does not match [a-zA-Z_][a-zA-Z0-9_]*",
        ),
        ({"Model": {"PrimaryContainer": {"Img": "x"}}}, "Model.PrimaryContainer has the unknown key 'Img'"),
        ({"DeploymentConfig": []}, "DeploymentConfig is not an object"),
        ({"DeploymentConfig": {"Policy": {}}}, "DeploymentConfig has the unknown key 'Policy'"),
        (
            {"DeploymentConfig": {"BlueGreenUpdatePolicy": {}}},
            "DeploymentConfig.BlueGreenUpdatePolicy.TrafficRoutingConfiguration is missing",
        ),
        (
            {"DeploymentConfig": {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": " "}]}}},
            "DeploymentConfig.AutoRollbackConfiguration.Alarms[0].AlarmName is ' ', which does not match",
        ),
        ({"SmokeTest": None}, "SmokeTest is not valid: it is not a JSON object"),
        ({"SmokeTest": "Skip"}, "SmokeTest is not valid: it is not a JSON object"),
        ({"SmokeTest": {"cases": []}}, "SmokeTest is not valid: cases must be a list of at least one case"),
    ],
)
def test_a_mistake_is_refused_with_its_path(given: dict[str, Any], path: str) -> None:
    assert path in refusal(json.dumps(given))


def test_all_mistakes_of_a_part_are_named() -> None:
    message = refusal(json.dumps({"EndpointConfig": {"KmsKey": "x", "ProductionVariants": [{"VolumeSizeInGB": "1"}]}}))

    assert "EndpointConfig has the unknown key 'KmsKey'" in message
    assert "EndpointConfig.ProductionVariants[0].VolumeSizeInGB is '1', not an integer" in message


def test_each_of_several_variants_overrides_the_default_variant() -> None:
    variants = [{"VariantName": "Cpu"}, {"VariantName": "Gpu", "InstanceType": "ml.g5.xlarge"}]

    assert settings({"EndpointConfig": {"ProductionVariants": variants}})["EndpointConfig"]["ProductionVariants"] == [
        {"VariantName": "Cpu", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1},
        {"VariantName": "Gpu", "InstanceType": "ml.g5.xlarge", "InitialInstanceCount": 1},
    ]


def test_a_shadow_variant_is_unchanged() -> None:
    shadows = [{"ModelName": "other", "InstanceType": "ml.c5.large", "InitialInstanceCount": 1}]

    assert (
        settings({"EndpointConfig": {"ShadowProductionVariants": shadows}})["EndpointConfig"][
            "ShadowProductionVariants"
        ]
        == shadows
    )


def test_a_deployment_config_is_that_of_update_endpoint() -> None:
    given = {
        "RollingUpdatePolicy": {
            "MaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 25},
            "WaitIntervalInSeconds": 300,
            "RollbackMaximumBatchSize": {"Type": "INSTANCE_COUNT", "Value": 2},
        },
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "reviews-qa-5xx-rate"}]},
    }

    assert settings({"DeploymentConfig": given})["DeploymentConfig"] == given


@pytest.mark.parametrize(
    "field", [{"ModelDataUrl": "s3://b/k"}, {"Mode": "MultiModel"}, {"ContainerHostname": "x"}, {"ImageConfig": {}}]
)
def test_a_member_of_the_container_that_a_stage_cannot_set_is_refused(field: dict[str, Any]) -> None:
    message = refusal(json.dumps({"Model": {"PrimaryContainer": field}}))

    assert f"Model.PrimaryContainer.{next(iter(field))} is set by the promotion" in message


@pytest.mark.parametrize("uri", ["s3://artifacts/code.tar.gz", "S3://artifacts/prefix/"])
def test_an_s3_uri_in_the_environment_is_refused(uri: str) -> None:
    environment = {"SAGEMAKER_SUBMIT_DIRECTORY": uri, "THREADS": "2"}

    message = refusal(json.dumps({"Model": {"PrimaryContainer": {"Environment": environment}}}))

    assert "Model.PrimaryContainer.Environment.SAGEMAKER_SUBMIT_DIRECTORY is an S3 URI" in message
    assert "THREADS" not in message


@pytest.fixture
def ssm(moto: None) -> Any:
    return boto3.client("ssm")


def test_settings_are_loaded_from_parameter_store(ssm: Any) -> None:
    ssm.put_parameter(Name=PARAMETER, Type="String", Value=json.dumps({"SmokeTest": "skip"}))

    assert load(ssm, "qa", "reviews", DEFAULTS, UPSTREAM) == {**DEFAULTS, "SmokeTest": "skip"}


def test_one_of_several_variants_can_serve_another_model() -> None:
    variants = [{"VariantName": "A"}, {"VariantName": "B", "ModelName": "proven"}]

    read_variants = settings({"EndpointConfig": {"ProductionVariants": variants}})["EndpointConfig"][
        "ProductionVariants"
    ]

    assert [variant.get("ModelName") for variant in read_variants] == [None, "proven"]


def test_encrypted_settings_are_decrypted(ssm: Any) -> None:
    ssm.put_parameter(Name=PARAMETER, Type="SecureString", Value=json.dumps({"SmokeTest": "skip"}))

    assert load(ssm, "qa", "reviews", DEFAULTS, UPSTREAM) == {**DEFAULTS, "SmokeTest": "skip"}


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("AccessDeniedException", "User: x is not authorized to perform: kms:Decrypt on resource: y"),
        ("AccessDeniedException", "The ciphertext refers to a customer master key that does not exist."),
        ("InvalidKeyId", "The key is disabled."),
    ],
)
def test_settings_whose_key_the_stage_cannot_use_are_refused(code: str, message: str) -> None:
    class Denied:
        def get_parameter(self, **_: Any) -> None:
            raise client_error(code, message, "GetParameter")

    with pytest.raises(
        PromotionRefusedError, match=r"qa/reviews cannot be decrypted\. .*Their KMS key must be enabled"
    ):
        load(Denied(), "qa", "reviews", DEFAULTS, UPSTREAM)


def test_an_application_without_a_parameter_is_not_registered(ssm: Any) -> None:
    assert load(ssm, "qa", "reviews", DEFAULTS, UPSTREAM) is None


def test_an_error_of_parameter_store_is_raised() -> None:
    denied = client_error("AccessDeniedException", "not authorized to perform: ssm:GetParameter", "GetParameter")

    class Denying:
        def get_parameter(self, **_: Any) -> None:
            raise denied

    with pytest.raises(type(denied)) as error:
        load(Denying(), "qa", "reviews", DEFAULTS, UPSTREAM)

    assert error.value is denied


def test_a_variant_overrides_the_default_variant_member_by_member() -> None:
    settings = read(
        '{"EndpointConfig": {"ProductionVariants": [{"InitialInstanceCount": 3}]}}', PARAMETER, DEFAULTS, UPSTREAM
    )

    (variant,) = settings["EndpointConfig"]["ProductionVariants"]
    assert variant == {**DEFAULTS["EndpointConfig"]["ProductionVariants"][0], "InitialInstanceCount": 3}


def test_a_serverless_variant_has_no_instances_of_the_default_variant() -> None:
    variant = {"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}}
    document = json.dumps({"EndpointConfig": {"ProductionVariants": [variant]}})

    assert read(document, PARAMETER, DEFAULTS, UPSTREAM)["EndpointConfig"]["ProductionVariants"] == [variant]


def test_autoscaling_is_read_and_a_mistake_in_it_is_named() -> None:
    assert read(json.dumps({"Autoscaling": {"MinCapacity": 1, "MaxCapacity": 4}}), PARAMETER, DEFAULTS, UPSTREAM)[
        "Autoscaling"
    ] == {
        "MinCapacity": 1,
        "MaxCapacity": 4,
    }
    assert f"{PARAMETER} are not valid. Autoscaling.MaxCapacity is missing." in refusal(
        json.dumps({"Autoscaling": {"MinCapacity": 1}})
    )


def test_a_quality_gate_and_a_retention_replace_the_defaults() -> None:
    gate = [{"MetricName": "f1", "Minimum": 0.9}]
    given = json.dumps({"QualityGate": gate, "Retention": {"Keep": 3}})

    assert read(given, "parameter", {"Retention": {"Keep": 5}}, UPSTREAM) == {
        "QualityGate": gate,
        "Retention": {"Keep": 3},
    }
    assert read("{}", "parameter", {"Retention": {"Keep": 5}}, UPSTREAM) == {"Retention": {"Keep": 5}}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"QualityGate": [{"MetricName": "f1"}]}, "/model-promotion/qa/reviews are not valid. QualityGate[0] "),
        ({"Retention": {"Keep": 1}}, "/model-promotion/qa/reviews are not valid. Retention.Keep is '1'"),
    ],
)
def test_an_invalid_quality_gate_or_retention_is_refused_with_its_path(given: dict[str, Any], message: str) -> None:
    assert message in refusal(json.dumps(given))


def test_sources_adoption_and_rollback_are_settings() -> None:
    given = {"Sources": {"ModelPackageGroups": ["reviews"]}, "AdoptExisting": True, "RequireRollback": False}

    assert settings(given) == DEFAULTS | given


def test_tags_are_settings() -> None:
    given = {"Tags": [{"Key": "cost-center", "Value": "4711"}, {"Key": "team", "Value": ""}]}

    assert settings(given) == DEFAULTS | given


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"team": "reviews"}, "not a list"),
        ([{"Key": "team"}], "Tags[0].Value is missing"),
        ([{"Key": "a,b", "Value": "x"}], "Tags[0].Key is 'a,b'. A tag can have letters"),
        ([{"Key": "x" * 129, "Value": "x"}], "Tags[0].Key"),
        ([{"Key": "AWS:x", "Value": "x"}], "Tags[0].Key is 'AWS:x'"),
        (
            [{"Key": "model-promotion:application", "Value": "x"}],
            "Tags[0].Key is 'model-promotion:application'. AWS and",
        ),
        (
            [{"Key": "a", "Value": "x"}, {"Key": "a", "Value": "y"}],
            "Tags has the Key 'a' twice. Remove one of the tags.",
        ),
    ],
)
def test_tags_that_cannot_be_set_are_refused_with_their_path(tags: Any, message: str) -> None:
    assert message in refusal(json.dumps({"Tags": tags}))


@pytest.mark.parametrize("value", [1, "true", None, {}])
@pytest.mark.parametrize("name", ["AcceptEula", "AdoptExisting", "RequireRollback"])
def test_adoption_and_rollback_are_true_or_false(name: str, value: Any) -> None:
    with pytest.raises(InvalidRequestError, match=f"{name} must be true or false"):
        settings({name: value})


@pytest.mark.parametrize("value", [{"S3Uri": "s3://b/code.tar.gz"}, {"Program": "serve.py"}])
def test_inference_code_can_have_either_key(value: dict[str, str]) -> None:
    assert settings({"InferenceCode": value})["InferenceCode"] == value


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({}, 'must be an object with the keys "S3Uri" and "Program", or one of them'),
        ("s3://b/code.tar.gz", "must be an object"),
        ({"S3Uri": "s3://b/c", "Image": "i"}, "must be an object"),
        ({"Program": 5}, "InferenceCode.Program is a number, not a string"),
        ({"Program": ""}, "InferenceCode.Program is an empty string"),
        ({"S3Uri": "https://b/c"}, 'InferenceCode.S3Uri is "https://b/c", which is not an S3 URI'),
    ],
)
def test_inference_code_that_is_not_valid_is_refused(value: Any, why: str) -> None:
    assert why in refusal(json.dumps({"InferenceCode": value}))
