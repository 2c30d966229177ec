"""The service `RESOURCES`: how busy this node and all others are, and were."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from random import Random
from typing import Any, NamedTuple

from guthi import Member, Node, NodeId, Service
from guthi.calmlog import CalmLog
from guthi_resources.history import History, Point
from guthi_resources.probe import Probe
from guthi_resources.sample import Sample
from guthi_resources.spread import Record
from guthi_resources.telling import Telling
from guthi_resources.watching import Pending

__all__ = ["RESOURCES", "Reading", "Resources"]

BEGINNING_S = 0.1

log = logging.getLogger("guthi_resources")


class Reading(NamedTuple):
    """A sample of a node; `at_s` is when this node heard of it, by its own wall clock in seconds since 1970."""

    node: NodeId
    sample: Sample
    at_s: float


class Resources:
    """One instance a node, got by `node.require(RESOURCES)`."""

    def __init__(self, node: Node, probe: Probe, interval_s: float, length: int, budget_bytes_s: float) -> None:
        self._node, self.probe, self._interval_s = node, probe, interval_s
        self._clock = asyncio.get_running_loop().time
        self._executor = node.host.thread_executor("guthi-resources", 1)
        self._history = History(length)
        self._readings: dict[NodeId, Reading] = {}
        self._watchers: list[Pending[Reading]] = []
        self._tasks: list[asyncio.Task[Any]] = []
        self._log = CalmLog(log, self._clock)
        self._telling = Telling(node, budget_bytes_s, self._heard, Random(node.host.entropy(16)))

    # ---- what apps use

    def mine(self) -> Sample:
        """This node's own newest sample; there is one from the start."""
        return self._readings[self._node.id].sample

    def of(self, node: Member | NodeId | str) -> Reading | None:
        """The newest that is known of a node, this one included; None while nothing is. Raises UnknownMember.

        Of a node that failed it is the last that was heard: look at `at_s`.
        """
        return self._readings.get(self._id_of(node))

    def all(self) -> list[Reading]:
        """The newest of every node of which something is known, sorted by id."""
        return [self._readings[id] for id in sorted(self._readings)]

    def history(self, node: Member | NodeId | str) -> Sequence[Point]:
        """What was heard of a node of late, oldest first; nothing was heard where nothing changed much."""
        return self._history.of(self._id_of(node))

    async def watch(self) -> AsyncIterator[Reading]:
        """What is known of every node, and then each change as it is heard.

        Whoever reads slowly is given the newest of each node, and not what was between.
        """
        pending: Pending[Reading] = Pending()
        for reading in self.all():
            pending.put(reading.node, reading)
        self._watchers.append(pending)
        try:
            while True:
                yield await pending.take()
        finally:
            self._watchers.remove(pending)

    # ---- for the plugin

    async def start(self) -> None:
        """Take the first sample; shares and rates are those of BEGINNING_S."""
        self._telling.members_changed()
        await self._sampled()
        await asyncio.sleep(BEGINNING_S)
        await self._take()

    def begin(self) -> None:
        """The network is there: sample and tell from now on."""
        self._tasks = [
            self._node.start(self._run(), "resources sampling"),
            self._node.start(self._telling.run(), "resources telling"),
        ]

    def members_changed(self) -> None:
        """Somebody came, went, or is suspected."""
        self._telling.members_changed()
        known = self._node.network.membership.members
        for node in [each for each in self._readings if each not in known]:
            self.forget(node)  # it failed long ago, and the network remembers it no more

    def forget(self, node: NodeId) -> None:
        """It has left."""
        self._telling.spread.forget(node)
        self._history.forget(node)
        self._readings.pop(node, None)

    def close(self) -> None:
        """Sample and tell no more; the node's goodbye may last."""
        for task in self._tasks:
            task.cancel()
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            try:
                await self._take()
            except Exception as error:  # noqa: BLE001 - the folder is gone, or no file can be opened: it may pass
                self._log.warning("the machine cannot be sampled: %s", error)

    async def _take(self) -> None:
        sample = await self._sampled()
        self._keep(self._node.id, sample)
        self._telling.publish(sample)

    async def _sampled(self) -> Sample:
        return await asyncio.get_running_loop().run_in_executor(self._executor, self.probe.sample, self._clock())

    def _heard(self, record: Record) -> None:
        self._keep(record.origin, record.sample)

    def _keep(self, node: NodeId, sample: Sample) -> None:
        reading = self._readings[node] = Reading(node, sample, self._node.host.wall_time_s())
        self._history.add(node, sample, reading.at_s)
        for pending in self._watchers:
            pending.put(node, reading)
        self._node.hooks.notify("resources_changed", node=node, sample=sample)

    def _id_of(self, node: Member | NodeId | str) -> NodeId:
        return node.id if isinstance(node, Member) else self._node.member(node).id


RESOURCES: Service[Resources] = Service("resources")
"""What the plugin resources provides: `node.require(RESOURCES)`."""
