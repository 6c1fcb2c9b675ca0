"""Genesys Web Services: what one agent hears, says and asks. Knows nothing of rules."""
