"""Bayeux: a pure protocol table, and the shell around aiocometd that obeys it."""
