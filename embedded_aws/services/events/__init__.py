"""EventBridge: buses, rules, patterns, targets and schedules."""
