"""Lambda: functions that run as separate processes."""
