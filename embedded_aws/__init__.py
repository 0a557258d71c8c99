"""An embedded AWS: three accounts on loopback that run the real templates, state machine and functions."""
