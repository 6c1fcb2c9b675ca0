"""imbot: rule-driven bots for the instant-message sessions of Genesys Web Services.

Plugin authors import :mod:`imbot.plugin`; everything else here is internal.
"""

__version__ = "0.1.0"
