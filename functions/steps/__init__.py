"""One module for each Task state of the state machine, named after it."""
