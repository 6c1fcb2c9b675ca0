"""The HTTP endpoint for operators."""
