"""The border to AWS: clients, errors, the service model, and strict reading of what comes in."""
