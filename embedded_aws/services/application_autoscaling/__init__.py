"""Application Auto Scaling: the scaling of SageMaker variants and inference components."""
