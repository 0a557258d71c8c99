"""The demo `make demo`: promotions from training to production on the embedded AWS, and promotions that fail."""
