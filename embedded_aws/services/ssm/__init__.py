"""Systems Manager: Automation, its runbooks and approvals."""
