"""IAM: policies, their evaluation, and clients that act as a role, a user or a service."""
