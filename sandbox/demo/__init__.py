"""The demo: models go from training to production on the embedded AWS, and some of them are stopped: `make demo`."""
