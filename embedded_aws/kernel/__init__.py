"""What every service of the embedded AWS stands on."""
