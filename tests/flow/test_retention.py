"""What is over is forgotten in time; what protects from a second reply is not."""

import pytest

from tests.flow.stage import GREETING

pytestmark = [pytest.mark.looptime(noop_cycles=1)]


async def test_ended_sessions_are_forgotten_after_their_time_and_marks_are_kept(stage):
    """A daemon that runs for years must not fill the disk, nor greet anybody again."""
    imbot = await stage.start(GREETING, delivery={"keep": "1m"})
    over = stage.ring("3001")
    await stage.seconds(2)
    over.hang_up()
    await stage.seconds(2)
    live = stage.ring("3002")
    await stage.seconds(2)
    with stage.views() as views:
        assert [view.number for view in views.sessions()] == ["3002", "3001"]

    await stage.seconds(700)

    with stage.views() as views:
        assert [view.number for view in views.sessions()] == ["3002"]
    await imbot.stop()
    await stage.start(GREETING)
    await stage.seconds(2)
    assert len(live.heard) == 1
