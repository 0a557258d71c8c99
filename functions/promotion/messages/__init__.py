"""The notifications that a stage sends, and the links in them."""
