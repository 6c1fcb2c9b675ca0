"""A GWS of one's own: REST and CometD on one port, other parties, faults on demand.

It behaves as the wire contract says, so that whoever is tested against it is not flattered. It is
no load balancer, no voice platform and no place for real credentials.
"""

from imbot.simulator.app import Simulator, create_app
from imbot.simulator.faults import Faults, Knob
from imbot.simulator.settings import AgentAccount, SimulatorSettings
from imbot.simulator.world import RefusedError, World

__all__ = [
    "AgentAccount",
    "Faults",
    "Knob",
    "RefusedError",
    "Simulator",
    "SimulatorSettings",
    "World",
    "create_app",
]
