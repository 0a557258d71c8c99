"""SageMaker training: jobs that run their script."""
