"""The model, the endpoint config and the endpoint: creation, update, monitoring, smoke test and autoscaling."""
