"""The model, the endpoint config and the endpoint: how they are created, judged, tested and scaled."""
