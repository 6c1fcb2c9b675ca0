"""The engine: what happens between a notice of the wire and a record in the store."""
