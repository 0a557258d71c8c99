"""The plan of a promotion, made before anything is written."""
