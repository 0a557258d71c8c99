"""The way of every request to its service: faults, then authorization."""
