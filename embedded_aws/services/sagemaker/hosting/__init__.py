"""SageMaker hosting: endpoints whose containers load and serve their models."""
