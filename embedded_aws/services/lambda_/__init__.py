"""Lambda: functions that run as processes of their own."""
