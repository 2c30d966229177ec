"""Guthi's health plugin: failure detectors, callbacks on failure, and work that outlives the node that does it."""

from guthi_health.clock import ClockFilter, ClockOffset, ClockSample
from guthi_health.detector import Accuse, Detector, Effect, Note, Ping, Relay, Remind
from guthi_health.echo import Echo, EchoSettings
from guthi_health.errors import EventAbandoned, EventNotSaved, EventTaken, PendingFull
from guthi_health.kept import Kept
from guthi_health.ledger import EventState
from guthi_health.phi import PhiAccrual, PhiSettings
from guthi_health.plugin import HealthPlugin
from guthi_health.service import HEALTH, Health, Pending
from guthi_health.swim import Swim, SwimSettings
from guthi_health.taking import Taken
from guthi_health.watch import Sight

__all__ = [
    "HEALTH",
    "Accuse",
    "ClockFilter",
    "ClockOffset",
    "ClockSample",
    "Detector",
    "Echo",
    "EchoSettings",
    "Effect",
    "EventAbandoned",
    "EventNotSaved",
    "EventState",
    "EventTaken",
    "Health",
    "HealthPlugin",
    "Kept",
    "Note",
    "Pending",
    "PendingFull",
    "PhiAccrual",
    "PhiSettings",
    "Ping",
    "Relay",
    "Remind",
    "Sight",
    "Swim",
    "SwimSettings",
    "Taken",
]
