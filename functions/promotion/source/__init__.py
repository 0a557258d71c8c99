"""The source of a promotion: the request, and the candidate that it names in the upstream account."""
