"""What the operator is told at a start that does not go well."""

import pytest
from structlog.testing import capture_logs

from tests.flow.stage import GREETING

pytestmark = [pytest.mark.looptime(noop_cycles=1), pytest.mark.timeout(60)]


async def test_a_plugin_that_does_not_work_is_told_and_stops_nothing(stage):
    """Rules may not need it, but somebody put it there for a reason."""
    (stage.folder / "mine").mkdir()
    (stage.folder / "mine" / "bad.py").write_text("1 / 0")
    with capture_logs() as logged:
        await stage.start(GREETING, plugins={"paths": ["mine"], "disabled": ["rely"]})

    (broken,) = [entry for entry in logged if entry["event"] == "plugin.broken"]
    assert (broken["plugin"], broken["status"]) == ("bad", "failed to load")
    assert broken["cause"].startswith("ZeroDivisionError: division by zero (")
    (unknown,) = [entry for entry in logged if entry["event"] == "plugin.warning"]
    assert "there is no plugin 'rely'; did you mean 'reply'?" in unknown["cause"]


async def test_health_says_of_each_agent_that_is_not_up_why(stage):
    """A GWS that says nothing gives no cause for a long time; "starting" alone explains nothing."""
    stage.faults(hang=True)
    imbot = await stage.launch(GREETING)
    await stage.seconds(1)

    assert imbot.app.health().reasons == ["agent bot1 is logging in"]
    assert imbot.app.health().status == "starting"

    await stage.seconds(30)
    (reason,) = imbot.app.health().reasons
    assert reason.startswith("agent bot1 is ")
    assert "GET " in reason

    stage.faults()
    await imbot.until_up()
    assert (imbot.app.health().status, imbot.app.health().reasons) == ("ready", [])
