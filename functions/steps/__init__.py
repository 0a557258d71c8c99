"""The functions of the state machine: one module for each Task state, named after the state."""
