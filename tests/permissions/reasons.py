"""The grants that no test requires and the calls that tests provoke to be denied, each with its reason."""

from tests.permissions.report import Provoked, Unused

GRANTED = [
    Unused(
        "*FunctionRole AWSLambdaBasicExecutionRole",
        ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"),
        "SAM attaches this managed policy of AWS to the role of every function. Lambda writes the logs with it.",
    ),
    Unused(
        "*FunctionRole AWSXrayWriteOnlyAccess",
        (
            "xray:PutTraceSegments",
            "xray:PutTelemetryRecords",
            "xray:GetSamplingRules",
            "xray:GetSamplingTargets",
            "xray:GetSamplingStatisticSummaries",
        ),
        "SAM attaches this managed policy of AWS to the role of each traced function. Lambda sends traces with the "
        "first two actions. The embedded AWS has no X-Ray.",
    ),
    Unused(
        "PromotionRole LogAndTrace",
        (
            "logs:CreateLogDelivery",
            "logs:CreateLogStream",
            "logs:GetLogDelivery",
            "logs:UpdateLogDelivery",
            "logs:DeleteLogDelivery",
            "logs:ListLogDeliveries",
            "logs:PutLogEvents",
            "logs:PutResourcePolicy",
            "logs:DescribeResourcePolicies",
            "logs:DescribeLogGroups",
        ),
        "Step Functions documents that it requires these to deliver logs. The embedded AWS delivers none.",
    ),
    Unused(
        "PromotionRole LogAndTrace",
        ("xray:PutTraceSegments", "xray:PutTelemetryRecords", "xray:GetSamplingRules", "xray:GetSamplingTargets"),
        "Step Functions documents that it requires these to send traces. The embedded AWS has no X-Ray.",
    ),
    Unused(
        "application.yaml ServingRole Serve",
        (
            "ec2:CreateNetworkInterface",
            "ec2:CreateNetworkInterfacePermission",
            "ec2:DeleteNetworkInterface",
            "ec2:DeleteNetworkInterfacePermission",
            "ec2:DescribeDhcpOptions",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeSecurityGroups",
            "ec2:DescribeSubnets",
            "ec2:DescribeVpcs",
        ),
        "SageMaker documents that its hosts require these to join a VPC. The embedded AWS has no EC2.",
    ),
    Unused(
        "application.yaml ServingRole Serve",
        ("logs:DescribeLogStreams", "cloudwatch:PutMetricData"),
        "SageMaker documents that its hosts require these for metrics and logs. Embedded hosts only write log events.",
    ),
    Unused(
        "application.yaml ServingRole Serve",
        ("s3:AbortMultipartUpload",),
        "SageMaker documents that asynchronous endpoints require it. An embedded endpoint uploads in one part.",
    ),
    Unused(
        "RequestApprovalFunctionRole",
        ("ssm:StartAutomationExecution",),
        "AWS's documentation has two forms of the runbook's ARN, and does not say which one IAM evaluates.",
    ),
    Unused(
        "people.yaml Operator",
        ("ssm:StartAutomationExecution",),
        "AWS's documentation has two forms of the runbook's ARN, and does not say which one IAM evaluates.",
    ),
    Unused(
        "RegisterModelFunctionRole",
        ("sagemaker:CreateModelPackage",),
        "AWS's documentation names both the version and its group as resources, and does not say whether a call "
        "requires both. The embedded SageMaker requires the version.",
    ),
    Unused(
        "upstream.yaml ReceiveOutcomesRole ReceiveOutcomes",
        ("logs:CreateLogStream", "logs:PutLogEvents"),
        "Lambda writes the logs of the function with it. The embedded Lambda does so itself.",
    ),
    Unused(
        "application.yaml ServingRole Serve",
        ("s3:ListBucket",),
        "A model under a prefix requires it. Without it, the denied call is one that has a reason below.",
    ),
    Unused(
        "WatchPromotionsFunctionEveryQuarterOfAnHourPermission",
        ("lambda:InvokeFunction",),
        "Each run of the schedule requires it. A test removes it, and the denied call has a reason below.",
    ),
    *(
        Unused(
            statement,
            actions,
            "The statement lists actions for two types of resources. Each action applies to one type; the other "
            "combination permits nothing.",
        )
        for statement, actions in (
            ("InspectEndpointFunctionRole Policy1", ("ssm:GetAutomationExecution", "ssm:GetParameter")),
            ("ResolveCandidateFunctionRole Policy0", ("ssm:GetAutomationExecution", "ssm:GetParameter")),
            ("PlanCopyFunctionRole Policy1", ("sagemaker:DescribeEndpointConfig", "sagemaker:DescribeModel")),
            *(
                (statement, ("sagemaker:DescribeEndpoint", "sagemaker:DescribeInferenceComponent"))
                for statement in (
                    "*FunctionRole ReadEndpointState",
                    "CheckEndpointFunctionRole Policy0",
                    "PlanCopyFunctionRole Policy1",
                    "ResolveImagesFunctionRole Policy0",
                    "RunSmokeTestFunctionRole Policy0",
                    "WatchPromotionsFunctionRole Policy0",
                )
            ),
            (
                "RunSmokeTestFunctionRole Policy0",
                ("sagemaker:InvokeEndpointAsync", "sagemaker:InvokeEndpointWithResponseStream"),
            ),
            ("UpdateEndpointFunctionRole Policy2", ("sagemaker:CreateEndpoint",)),
            ("RollBackEndpointFunctionRole Policy3", ("sagemaker:DeleteInferenceComponent",)),
            ("*FunctionRole UpdateEndpoints", ("sagemaker:UpdateEndpoint", "sagemaker:UpdateInferenceComponent")),
            (
                "*FunctionRole ScaleEndpoints",
                (
                    "sagemaker:UpdateEndpointWeightsAndCapacities",
                    "sagemaker:UpdateInferenceComponentRuntimeConfig",
                ),
            ),
        )
    ),
    Unused(
        "*FunctionRole ReadUpstreamArtifacts",
        ("kms:Decrypt",),
        "CloudFormation cannot extract the owners alone from UpstreamBuckets, so the statement lists the buckets, too. "
        "No key has such an ARN; it permits nothing.",
    ),
    Unused(
        "ArtifactBucketPolicy DownstreamListsObjects",
        ("s3:ListBucket",),
        "A model under a prefix in the upstream stage requires it. Without it, the denied call has a reason below.",
    ),
    Unused(
        "ArtifactBucketPolicy DownstreamReadsObjects",
        ("s3:GetObjectTagging",),
        "S3 documents that HeadObject requires it to return the number of tags. The embedded S3 always returns it.",
    ),
    Unused(
        "PreviewPromotionFunctionRole FindSupersededResources",
        ("sagemaker:DescribeModelPackage",),
        "A preview describes the package of someone else's model, unless a promotion has done so before.",
        sometimes=True,
    ),
    Unused(
        "StageKey ReaderRoleEncryptsCopies",
        ("kms:Decrypt",),
        "S3 requires it to assemble the parts of a large object. Without it, the denied call has a reason below.",
    ),
    Unused(
        "RollBackEndpointFunctionRole",
        ("sagemaker:DeleteEndpoint",),
        "The rollback of a new endpoint requires it. Without it, the denied call is one that has a reason below.",
        sometimes=True,
    ),
    Unused(
        "PlanCopyFunctionRole Policy1",
        ("s3:ListBucket",),
        "A prefix in an upstream bucket requires it. Without it, the denied call is one that has a reason below.",
    ),
    Unused(
        "RunSmokeTestFunctionRole Policy0",
        ("lambda:InvokeFunction",),
        "An alias or a version of a team's function requires it. The tests invoke the function without one.",
    ),
    Unused(
        "people.yaml Viewer",
        ("logs:StartQuery", "logs:GetQueryResults"),
        "The saved queries read the log of the functions. Viewers query those of the executions and endpoints as well.",
    ),
]

DENIED = [
    Provoked(
        "RollBackEndpointFunctionRole",
        "sagemaker:DeleteEndpoint",
        "*:endpoint/t????????????-STAGE",
        "no identity-based policy",
        "A repeated deletion of an endpoint that is gone, and with it the tag that permits the deletion.",
        sometimes=True,
    ),
    Provoked(
        "application.yaml ServingRole",
        "s3:PutObject",
        "*/models/APPLICATION-other/*",
        "explicit deny",
        "A container that tries to replace a model of another application.",
    ),
    Provoked(
        "PlanCopyFunctionRole",
        "s3:GetObject",
        "arn:aws:s3:::elsewhere/*",
        "no identity-based policy",
        "A model package whose metrics are in a bucket outside UpstreamBuckets.",
    ),
    Provoked(
        "PlanCopyFunctionRole",
        "ecr:BatchGetImage",
        "*:repository/t????????????",
        "no resource-based policy",
        "An image whose repository policy does not allow the stage.",
    ),
    Provoked(
        "RemoveSupersededModelsFunctionRole",
        "sagemaker:DeleteModel",
        "*:model/t????????????-*",
        "explicit deny",
        "A removal that fails halfway. The test denies it, and the next promotion completes it.",
    ),
    Provoked(
        "PlanCopyFunctionRole",
        "s3:GetObject",
        "arn:aws:s3:::beside-t????????????/*",
        "no identity-based policy",
        "An artifact or a smoke test in a bucket outside UpstreamBuckets.",
    ),
    Provoked(
        "PlanCopyFunctionRole",
        "s3:ListBucket",
        "arn:aws:s3:::beside-t????????????",
        "no identity-based policy",
        "A prefix in such a bucket.",
    ),
    Provoked(
        "PlanCopyFunctionRole",
        "s3:GetObject",
        "arn:aws:s3:::model-promotion-STAGE-ACCOUNT-eu-west-1/models/*",
        "no identity-based policy",
        "An artifact in the bucket of the stage.",
    ),
    Provoked(
        "PlanCopyFunctionRole",
        "s3:GetObject",
        "arn:aws:s3:::model-promotion-STAGE-ACCOUNT-eu-west-1/t????????????/*",
        "no identity-based policy",
        "An artifact in the bucket of a later stage.",
    ),
    Provoked(
        "PlanCopyFunctionRole",
        "s3:ListBucket",
        "arn:aws:s3:::model-promotion-STAGE-ACCOUNT-eu-west-1",
        "no identity-based policy",
        "A value in the environment that may be an artifact or a prefix in the bucket of a stage.",
    ),
    Provoked(
        "PlanCopyFunctionRole",
        "s3:ListBucket",
        "arn:aws:s3:::model-promotion-STAGE-ACCOUNT-eu-west-1",
        "no resource-based policy",
        "The same in the bucket of the upstream stage, of which only models can be listed.",
    ),
    Provoked(
        "PlanCopyFunctionRole",
        "kms:Decrypt",
        "*:key/ID",
        "no resource-based policy",
        "An artifact that is encrypted with a key of the upstream account that denies the stage, such as aws/s3.",
    ),
    Provoked(
        "upstream.yaml ReaderRole",
        "kms:Decrypt",
        "*:key/ID",
        "no resource-based policy",
        "The same with a key that denies the reader role of the upstream account as well.",
    ),
    Provoked(
        "CopyArtifactsFunctionRole",
        "kms:GenerateDataKey",
        "*:key/ID",
        "explicit deny",
        "A stage whose key the test denies to its function.",
    ),
    Provoked(
        "RemoveSupersededModelsFunctionRole",
        "dynamodb:Query",
        "*:table/PromotionTable",
        "explicit deny",
        "A removal that fails and sets off its alarm.",
    ),
    Provoked(
        "StartRole",
        "states:StartExecution",
        "*:stateMachine:model-promotion-STAGE",
        "explicit deny",
        "An event that cannot start the state machine and sets off the alarm of the dead-letter queue.",
    ),
    Provoked(
        "WatchPromotionsFunctionRole",
        "dynamodb:Query",
        "*:table/PromotionTable",
        "explicit deny",
        "A run of the background monitor that fails and sets off its alarm.",
    ),
    Provoked(
        "events.amazonaws.com",
        "lambda:InvokeFunction",
        "*:function:WatchPromotionsFunction",
        "no resource-based policy",
        "A run of the background monitor that cannot start and sets off its alarm.",
    ),
    Provoked(
        "application.yaml ServingRole",
        "s3:ListBucket",
        "arn:aws:s3:::model-promotion-STAGE-ACCOUNT-eu-west-1",
        "no identity-based policy",
        "An artifact that does not exist. S3 reports that only to a caller that can list the bucket.",
    ),
    *(
        Provoked(
            "application.yaml ServingRole",
            action,
            resource,
            "no identity-based policy",
            "A container that tries to reach the models, inference data and logs of another application.",
        )
        for action, resource in (
            ("s3:GetObject", "*/APPLICATION-other/*"),
            ("s3:PutObject", "*/APPLICATION-other/*"),
            ("s3:GetObject", "*/manifests/*"),
            ("s3:PutObject", "*/manifests/*"),
            ("logs:CreateLogStream", "*/APPLICATION-other-STAGE:*"),
            ("logs:PutLogEvents", "*/APPLICATION-other-STAGE:*"),
            ("logs:GetLogEvents", "*/APPLICATION-other-STAGE:*"),
            ("ssm:GetParameter", "*:parameter/model-promotion/STAGE/*"),
        )
    ),
    Provoked(
        "PlanCopyFunctionRole",
        "iam:GetRole",
        "*:role/t????????????-STAGE",
        "no identity-based policy",
        "An application that has a settings parameter but no serving role.",
    ),
    Provoked(
        "ResolveCandidateFunctionRole",
        "kms:Decrypt",
        "*:key/ID",
        "no resource-based policy",
        "Settings that are encrypted with a key that does not permit the stage.",
    ),
]
