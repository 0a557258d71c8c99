"""SageMaker hosting: endpoints whose containers really load and serve their models."""
