"""The stage of the stories."""

import pytest

from tests.flow.stage import staged


@pytest.fixture
async def stage(tmp_path):
    """Set a stage with one agent, on a Monday noon."""
    async with staged(tmp_path) as made:
        yield made
