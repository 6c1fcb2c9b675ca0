"""The plugins in force, as every command that needs them asks for them."""

import asyncio

from imbot.config import Loaded
from imbot.loading import plugin_settings
from imbot.pluginhost import Plugins, check_plugins, find_plugins


def load_plugins(loaded: Loaded) -> Plugins:
    """Return the plugins after their self-checks."""
    return asyncio.run(check_plugins(find_plugins(plugin_settings(loaded))))
