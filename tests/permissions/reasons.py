"""What is granted and no test needs, and what the application is denied in tests: each with its reason."""

from tests.permissions.report import Provoked, Unused

GRANTED = [
    Unused(
        "*FunctionRole AWSLambdaBasicExecutionRole",
        ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"),
        "AWS's own policy, which SAM attaches to the role of every function; Lambda writes the logs with it.",
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
        "What Step Functions sets up the delivery of logs with, as it documents it. Nothing is delivered here.",
    ),
    Unused(
        "PromotionRole LogAndTrace",
        ("xray:PutTraceSegments", "xray:PutTelemetryRecords", "xray:GetSamplingRules", "xray:GetSamplingTargets"),
        "What Step Functions sends traces with, as it documents it. There is no X-Ray here.",
    ),
    Unused(
        "SageMakerRole Serve",
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
        "What SageMaker's hosts join a VPC with, as it documents it. There is no EC2 here.",
    ),
    Unused(
        "SageMakerRole Serve",
        ("logs:DescribeLogStreams", "cloudwatch:PutMetricData"),
        "What SageMaker's hosts tell CloudWatch with, as it documents it. Here they only write log events.",
    ),
    Unused(
        "RequestApprovalFunctionRole",
        ("ssm:StartAutomationExecution",),
        "AWS's pages name the runbook in two ways, of which one is enough, and none says which one counts.",
    ),
    Unused(
        "upstream.yaml NotificationsKey EnableIAMPolicies",
        ("kms:*",),
        "Without it nobody could change or delete the key any more, says AWS. No role of the stack uses it.",
    ),
    Unused(
        "SageMakerRole Serve",
        ("s3:ListBucket",),
        "Models that are a prefix need it. Without it they are refused in the words that have a reason below.",
    ),
    Unused(
        "WatchPromotionsFunctionEveryQuarterOfAnHourPermission",
        ("lambda:InvokeFunction",),
        "Each look needs it. A test takes it away, and what is refused then has its reason below.",
    ),
]

DENIED = [
    Provoked(
        "PlanCopyFunctionRole",
        "s3:GetObject",
        "arn:aws:s3:::elsewhere/*",
        "no identity-based policy",
        "A model package whose metrics lie in a bucket that is not the upstream's.",
    ),
    Provoked(
        "PlanCopyFunctionRole",
        "ecr:BatchGetImage",
        "*:repository/t????????????",
        "no resource-based policy",
        "An image that the upstream account does not let the stage pull.",
    ),
    Provoked(
        "RemoveSupersededModelsFunctionRole",
        "sagemaker:DeleteModel",
        "*:model/t????????????-*",
        "explicit deny",
        "A removal that fails halfway: the test denies it, and lets the next promotion make up for it.",
    ),
    Provoked(
        "PlanCopyFunctionRole",
        "s3:GetObject",
        "arn:aws:s3:::beside-t????????????/*",
        "no identity-based policy",
        "An artifact or a smoke test that lies in a bucket beside those of the upstream account.",
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
        "An artifact that lies in the stage's own bucket.",
    ),
    Provoked(
        "PlanCopyFunctionRole",
        "s3:GetObject",
        "arn:aws:s3:::model-promotion-STAGE-ACCOUNT-eu-west-1/t????????????/*",
        "no identity-based policy",
        "An artifact that lies in the bucket of a later stage.",
    ),
    Provoked(
        "PlanCopyFunctionRole",
        "kms:Decrypt",
        "*:key/ID",
        "no resource-based policy",
        "An artifact under a key of the upstream account that is not shared.",
    ),
    Provoked(
        "CopyArtifactsFunctionRole",
        "kms:GenerateDataKey",
        "*:key/ID",
        "explicit deny",
        "A stage whose own key the test denies.",
    ),
    Provoked(
        "RemoveSupersededModelsFunctionRole",
        "dynamodb:Query",
        "*:table/PromotionTable",
        "explicit deny",
        "A removal that fails, whose alarm rings.",
    ),
    Provoked(
        "StartRole",
        "states:StartExecution",
        "*:stateMachine:model-promotion-STAGE",
        "explicit deny",
        "An event that cannot start the state machine, whose alarm rings.",
    ),
    Provoked(
        "WatchPromotionsFunctionRole",
        "dynamodb:Query",
        "*:table/PromotionTable",
        "explicit deny",
        "A look that fails, whose alarm rings.",
    ),
    Provoked(
        "events.amazonaws.com",
        "lambda:InvokeFunction",
        "*:function:WatchPromotionsFunction",
        "no resource-based policy",
        "A look that cannot be begun, whose alarm rings.",
    ),
    Provoked(
        "SageMakerRole",
        "s3:ListBucket",
        "arn:aws:s3:::model-promotion-STAGE-ACCOUNT-eu-west-1",
        "no identity-based policy",
        "An artifact that is not there, which S3 tells only to who may list all of the bucket.",
    ),
]
