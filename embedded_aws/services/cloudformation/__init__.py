"""CloudFormation: templates, stacks and the types of resources they may have."""
