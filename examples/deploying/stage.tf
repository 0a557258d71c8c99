# Deploys the QA stage from the packaged template. The stack keeps its name, which IAM policies and the command use.
terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "package_bucket" {
  type        = string
  description = "The bucket of the command sam package"
}

resource "aws_s3_object" "template" {
  bucket      = var.package_bucket
  key         = "model-promotion/${filemd5("packaged.yaml")}.yaml"
  source      = "packaged.yaml"
  source_hash = filemd5("packaged.yaml")
}

resource "aws_cloudformation_stack" "qa" {
  name         = "model-promotion-qa"
  template_url = "https://${aws_s3_object.template.bucket}.s3.eu-west-1.amazonaws.com/${aws_s3_object.template.key}"
  capabilities = ["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
  parameters = {
    Stage               = "qa"
    UpstreamAccountId   = "111111111111"
    UpstreamBuckets     = "sagemaker-eu-west-1-111111111111"
    DownstreamAccountId = "333333333333"
    DownstreamStage     = "production"
  }
}

output "state_machine_arn" {
  value = aws_cloudformation_stack.qa.outputs["StateMachineArn"]
}
