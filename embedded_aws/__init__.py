"""An embedded AWS: moto's server in this process, with the behavior that it lacks. See README.md beside this file."""
