"""The promotion table: who holds an endpoint, what is live, what was, and what follows from it."""
