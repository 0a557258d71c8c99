"""The command model-promotion: what operators and data scientists do with a stage, from a terminal or a script."""
