"""What is promoted: the request, and the candidate that it names in the upstream account."""
