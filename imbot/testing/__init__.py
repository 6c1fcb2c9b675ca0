"""Fakes for the ports: for imbot's own tests and for those of its users."""
