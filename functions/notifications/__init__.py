"""The functions that notify people: one module for each function, named after it."""
