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
    StreamEnded,
    UnknownMember,
    UnknownTopic,
    UsageError,
)
from guthi.hooks import hookimpl, hookspec
from guthi.membership.members import Member, MemberState, Role
from guthi.membership.verdict import Verdict
from guthi.messages.requests import Incoming
from guthi.messages.stream import Stream
from guthi.node import Node
from guthi.plugins import Plugin
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
    "Stream",
    "StreamEnded",
    "UnknownMember",
    "UnknownTopic",
    "UsageError",
    "Verdict",
    "connect",
    "hookimpl",
    "hookspec",
]
