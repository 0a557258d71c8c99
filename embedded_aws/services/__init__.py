"""The services, each in its own module or package."""
