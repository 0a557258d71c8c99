"""An action of AWS CodePipeline, for an app of the AWS CDK, that deploys the QA stage from the packaged template."""

from aws_cdk import CfnCapabilities, aws_codepipeline, aws_codepipeline_actions, aws_iam


def deploy_qa(
    built: aws_codepipeline.Artifact, action_role: aws_iam.IRole, deployment_role: aws_iam.IRole
) -> aws_codepipeline_actions.CloudFormationCreateUpdateStackAction:
    """Return the action; `built` contains packaged.yaml, and the roles are in the account of the stage.

    CodePipeline assumes `action_role`, and CloudFormation `deployment_role`, which is the role of people.yaml.
    """
    return aws_codepipeline_actions.CloudFormationCreateUpdateStackAction(
        action_name="DeployQa",
        stack_name="model-promotion-qa",
        template_path=built.at_path("packaged.yaml"),
        account="222222222222",
        region="eu-west-1",
        role=action_role,
        deployment_role=deployment_role,
        admin_permissions=False,
        cfn_capabilities=[CfnCapabilities.NAMED_IAM, CfnCapabilities.AUTO_EXPAND],
        parameter_overrides={
            "Stage": "qa",
            "UpstreamAccountId": "111111111111",
            "UpstreamBuckets": "sagemaker-eu-west-1-111111111111",
            "DownstreamAccountId": "333333333333",
            "DownstreamStage": "production",
        },
    )
