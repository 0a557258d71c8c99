"""The functions that show a stage on its dashboard: one module for each function, named after it."""
