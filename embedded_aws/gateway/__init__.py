"""The layers in front of the services: faults, then authorization."""
