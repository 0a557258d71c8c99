"""Access to AWS: clients, errors, the service model, and strict reading of external input."""
