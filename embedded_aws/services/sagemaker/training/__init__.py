"""SageMaker training: jobs that really run their script."""
