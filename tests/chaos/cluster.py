"""The hosts of a run, the cable between them, and the orders that their nodes follow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from random import Random

from tests.chaos.cable import Cable, Condition
from tests.chaos.host import Host, NodeEnded
from tests.chaos.journal import Entry, read_journals
from tests.chaos.load import Orders
from tests.chaos.switch import Switch

from guthi.security.keyring import ClusterKey

__all__ = ["NAMES", "Cluster", "TooSlow"]

NAMES = ("alice", "bob", "carol", "dave", "erin")
PATIENCE_S = 120.0
LOOK_S = 0.25

NODE = """
[node]
name = "{name}"
listen = "{address}:6969"
join = [{join}]
join_timeout = "30s"
plugins = ["rpc", "health", "mutex", "dvar", "gutfs"]
data_dir = "{disk}/state"
main = "tests.chaos.app:main"
log_level = "warning"
[security]
cluster_key = "{key}"
[plugins.health]
detector = "swim"
interval = "1s"
timeout = "800ms"
[plugins.rpc]
retention = "30s"
[plugins.gutfs]
exports = ["{disk}/team:/team:sync"]
sync_interval = "2s"
cache_memory = "64 KiB"
cache_disk = "64 KiB"
"""


class TooSlow(Exception):
    """Something that has to come to pass has not."""


class Cluster:
    """Hosts by name; `surprises` are nodes that ended unasked, which nothing may do."""

    def __init__(self, folder: Path, random: Random) -> None:
        self.folder, self.random = folder, random
        self.hosts: dict[str, Host] = {}
        self.surprises: list[str] = []
        self.next_packages: Path | None = None  # what hosts are upgraded to
        self._cable = Cable(random)
        self.switch = Switch(self._cable)

    @classmethod
    @asynccontextmanager
    async def of(
        cls, folder: Path, names: Sequence[str] = NAMES, seed: int = 0, packages: Path | None = None
    ) -> AsyncIterator[Cluster]:
        """A cluster whose nodes all run and know one another; whatever happens, nothing is left of it."""
        async with AsyncExitStack() as stack:
            cluster = cls(folder, Random(seed))
            stack.callback(cluster.switch.close)
            for number, name in enumerate(names, 1):
                host = cluster._add(name, number)
                stack.push_async_callback(host.close)
                host.packages = packages
            cluster._configure(ClusterKey(cluster.random.randbytes(32)))
            await asyncio.gather(*(host.start() for host in cluster.hosts.values()))
            await cluster.until_connected()
            yield cluster

    def _add(self, name: str, number: int) -> Host:
        own = self.folder / name
        own.mkdir(parents=True)
        host = self.hosts[name] = Host(name, number, own, self.surprises.append)
        self.switch.plug(name, number, host.tap)
        (host.disk / "team").mkdir()
        return host

    def _configure(self, key: ClusterKey) -> None:
        for name, host in self.hosts.items():
            join = ", ".join(f'"{each.address}:6969"' for each in self.hosts.values())
            told = {"name": name, "address": host.address, "join": join, "disk": host.folder / "disk"}
            (host.folder / "node.toml").write_text(NODE.format(key=key.text(), **told))

    # ---- what faults do

    def chosen(self, names: Collection[str]) -> list[Host]:
        """The hosts of these names."""
        return [self.hosts[each] for each in sorted(names)]

    @contextmanager
    def imposed(self, condition: Condition) -> Iterator[None]:
        """A condition of the cable, for as long as the context lasts."""
        self._cable.impose(condition)
        try:
            yield
        finally:
            self._cable.lift(condition)

    async def start(self, host: Host) -> None:
        """Start a node; that it cannot is a surprise, and it is tried once more."""
        try:
            await host.start()
        except NodeEnded as error:
            self.surprises.append(str(error))
            await host.kill()
            await host.start()

    async def revive(self) -> None:
        """Start what has ended, if it was a surprise."""
        await asyncio.gather(*(self.start(each) for each in self.hosts.values() if not each.is_running))

    async def terminate(self, host: Host) -> None:
        """Ask a node to end; that it ends badly is a surprise."""
        try:
            await host.terminate()
        except NodeEnded as error:
            self.surprises.append(str(error))
            await host.kill()

    # ---- what the nodes are told, and tell

    def order(self, orders: Orders) -> None:
        """Tell all nodes."""
        orders.save(self.folder)

    def entries(self, beyond: Mapping[Path, int] | None = None) -> list[Entry]:
        """What all nodes have written down so far, or since a `mark`."""
        return read_journals((each.journal for each in self.hosts.values() if each.journal.exists()), beyond)

    def mark(self) -> dict[Path, int]:
        """How far the nodes have written."""
        journals = [each.journal for each in self.hosts.values() if each.journal.exists()]
        return {path: path.stat().st_size for path in journals}

    async def until_connected(self) -> None:
        """Wait until all nodes see all others alive; raises TooSlow."""
        begin = self.mark()

        def are_connected() -> bool:
            last = {each.node: each.told["alive"] for each in self.entries(begin) if each.kind == "status"}
            return all(last.get(name) == sorted(self.hosts.keys() - {name}) for name in self.hosts)

        await self.until(are_connected, "all nodes know one another")

    async def until_told(self, kind: str, names: Collection[str], since: Mapping[Path, int]) -> None:
        """Wait until each of these nodes has written an entry of that kind since a `mark`; raises TooSlow."""

        def have_told() -> bool:
            return set(names) <= {each.node for each in self.entries(since) if each.kind == kind}

        await self.until(have_told, f"{', '.join(sorted(names))}: {kind}")

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Look again and again; raises TooSlow, which says what has not come to pass."""
        give_up_at = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > give_up_at:
                raise TooSlow(f"{PATIENCE_S:g} s were not enough: {what}")
            await asyncio.sleep(LOOK_S)
