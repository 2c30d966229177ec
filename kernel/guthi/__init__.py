"""Guthi: functions, variables, locks and files that span machines, without a master."""

from guthi.api import Address, NodeId
from guthi.blocking import BlockingNode, connect
from guthi.configuration.config import Config
from guthi.configuration.tables import Duration, Size
from guthi.errors import (
    AddressUnavailable,
    ConfigError,
    DeadlineExceeded,
    GuthiError,
    JoinFailed,
    MalformedMessage,
    NodeClosed,
    NotEncodable,
    PeerBreach,
    PeerLost,
    PluginError,
    RemoteError,
    UnknownMember,
    UnknownTopic,
    UsageError,
)
from guthi.hooks import hookimpl, hookspec
from guthi.membership.members import Member, MemberState, Role
from guthi.node import Node
from guthi.plugins import Plugin
from guthi.requests import Incoming
from guthi.services import Service

__all__ = [
    "Address",
    "AddressUnavailable",
    "BlockingNode",
    "Config",
    "ConfigError",
    "DeadlineExceeded",
    "Duration",
    "GuthiError",
    "Incoming",
    "JoinFailed",
    "MalformedMessage",
    "Member",
    "MemberState",
    "Node",
    "NodeClosed",
    "NodeId",
    "NotEncodable",
    "PeerBreach",
    "PeerLost",
    "Plugin",
    "PluginError",
    "RemoteError",
    "Role",
    "Service",
    "Size",
    "UnknownMember",
    "UnknownTopic",
    "UsageError",
    "connect",
    "hookimpl",
    "hookspec",
]
