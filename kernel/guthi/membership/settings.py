"""The figures of membership: how often, how many, how much."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import Enum

from guthi.errors import UsageError

__all__ = ["Discovery", "GossipSettings"]


class Discovery(Enum):
    """GOSSIP: all whom any member knows. STATIC: only those met directly, by the list of addresses or by theirs."""

    GOSSIP = "gossip"
    STATIC = "static"


@dataclass(frozen=True, slots=True)
class GossipSettings:
    """The machine's figures; the defaults are memberlist's for a local network, but for how often news is sent.

    News is sent so often that gossip alone leaves somebody out with `miss_chance` where `bearable_loss` of all
    datagrams are lost (see `rumours`).

    Comparisons begin `first_sync_s` after the first other member was seen and slow down to one each `sync_interval_s`:
    nodes often join together, and gossip alone leaves each a small chance to miss one of the others. They begin again
    when a sync has brought more than `resync_records`, because then there is more about than gossip can carry. A node
    opens one sync each `sync_spacing_s` at most because of comparisons, and sends `sync_budget_bytes` in one.

    An address to join is said hello to after `join_retry_s`, doubling up to `join_retry_limit_s`, until one answers,
    then each `rejoin_interval_s`. Each failed member is said hello to by somebody about once in `reconnect_s`, and by
    each node's gossip for `dead_gossip_s` after it failed; after `forget_s` it is forgotten. A failure that a sync
    tells of is a suspicion for `doubt_s`. A node that leaves tells `farewells` members itself. Where there are
    `max_members` records, those of the gone included, whoever has been gone for longest makes room for a newcomer.
    """

    interval_s: float = 0.2
    fanout: int = 3
    bearable_loss: float = 0.25
    miss_chance: float = 0.001
    first_sync_s: float = 0.5
    sync_interval_s: float = 30.0
    sync_spacing_s: float = 0.05
    sync_budget_bytes: int = 256 * 1024
    resync_records: int = 50
    datagram_budget_bytes: int = 1100
    join_retry_s: float = 0.25
    join_retry_limit_s: float = 5.0
    rejoin_interval_s: float = 30.0
    reconnect_s: float = 10.0
    doubt_s: float = 5.0
    dead_gossip_s: float = 10.0
    forget_s: float = 24 * 3600.0
    max_members: int = 32_768
    farewells: int = 32
    discovery: Discovery = Discovery.GOSSIP

    def __post_init__(self) -> None:
        for setting in fields(self):
            value = getattr(self, setting.name)
            if isinstance(value, int | float) and not value > 0:
                raise UsageError(f"gossip setting {setting.name} is {value}; it must be above zero")
        if not (self.bearable_loss < 1 and self.miss_chance < 1):
            raise UsageError("bearable_loss and miss_chance of gossip are shares; they must be below 1")
