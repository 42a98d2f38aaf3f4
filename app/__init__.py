"""The doors for people: today the command line."""
