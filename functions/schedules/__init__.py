"""The functions that a schedule invokes: one module for each function, named after it."""
