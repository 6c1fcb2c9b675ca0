"""The dashboard: what the admin API answers, as pages for people in a browser."""
