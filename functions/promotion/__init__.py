"""The domain: what a promotion is and how it decides."""
