"""Systems Manager: Automation with runbooks and approvals."""
