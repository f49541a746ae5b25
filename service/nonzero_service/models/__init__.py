"""The models of a service: found, made, brought back to where they were, looked at, kept."""
