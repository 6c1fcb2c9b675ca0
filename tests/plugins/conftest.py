"""The standard plugins as the host loads them."""

import sys
from types import ModuleType

import pytest

from imbot.pluginhost import PluginSettings, find_plugins
from imbot.testing.plugin_context import FakeContext


@pytest.fixture(scope="session")
def actions():
    """Every action of the standard plugins, by name."""
    return find_plugins(PluginSettings(), with_options=False).actions


@pytest.fixture
def module_of(actions):
    """Return a function that gives the module an action was written in."""

    def module(name) -> ModuleType:
        return sys.modules[actions[name].run.__module__]

    return module


@pytest.fixture
def fake():
    """A Talking session, and doors that write down what they were asked."""
    return FakeContext()
