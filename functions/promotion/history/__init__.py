"""The promotion table: locks, records and approvals, and the recovery, rollback and retention based on them."""
