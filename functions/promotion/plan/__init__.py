"""Decide what a promotion will do, before anything is written."""
