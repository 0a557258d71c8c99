"""SageMaker: models and packages, training and hosting."""
