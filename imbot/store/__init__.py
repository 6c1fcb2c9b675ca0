"""Keeps what imbot saw, decided and did: one SQLite file, one writer, groups of changes at a time.

:func:`imbot.store.database.open_store` opens it for writing, :func:`imbot.store.queries.open_views`
for reading beside a running imbot. Nothing outside this package imports SQLAlchemy.
"""
