"""What a node's configuration means to its machines: the figures that each of them is made with."""

from __future__ import annotations

from guthi.broadcast.settings import BroadcastSettings
from guthi.configuration.config import Config
from guthi.membership.settings import Discovery, GossipSettings
from guthi.transport.session import SessionSettings

__all__ = ["broadcast_settings", "gossip_settings", "session_settings"]


def session_settings(config: Config) -> SessionSettings:
    """For each session."""
    transport = config.transport
    return SessionSettings(transport.keepalive, transport.timeout, transport.max_message, transport.idle)


def gossip_settings(config: Config) -> GossipSettings:
    """For the membership. What a sync brings must be a message, and half of one leaves room for ids."""
    gossip = config.gossip
    return GossipSettings(
        sync_budget_bytes=min(GossipSettings().sync_budget_bytes, config.transport.max_message // 2),
        interval_s=gossip.interval,
        fanout=gossip.fanout,
        sync_interval_s=gossip.sync_interval,
        reconnect_s=gossip.reconnect,
        forget_s=gossip.forget,
        discovery=Discovery.STATIC if config.node.discovery == "static" else Discovery.GOSSIP,
    )


def broadcast_settings(config: Config) -> BroadcastSettings:
    """For broadcasts."""
    broadcast = config.broadcast
    return BroadcastSettings(direct_limit=broadcast.direct_limit, keep_s=broadcast.keep, buffer_bytes=broadcast.buffer)
