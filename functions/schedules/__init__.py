"""One module for each function that is called by a schedule, named after it."""
