"""A node: what an app holds in its hands. It starts and stops the network and the plugins, in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from guthi.api import PROTOCOL_VERSION, Address, Host, NodeId
from guthi.configuration.config import Config
from guthi.errors import DeadlineExceeded, NodeClosed, PluginError, UsageError
from guthi.hooks import HookBus
from guthi.host.udp import SystemHost
from guthi.membership.members import Member, MemberState, Role
from guthi.messages.datagrams import DatagramHandler
from guthi.messages.exchange import check_timeout
from guthi.messages.requests import Handler
from guthi.messages.stream import Stream
from guthi.messages.streams import StreamHandler
from guthi.network.network import Network
from guthi.plugins import Plugin, enabled_plugins, start_order
from guthi.security.identity import Identity
from guthi.services import Service, Services
from guthi.tasks import TaskSet
from guthi.values.codec import Codec

__all__ = ["Node"]

T = TypeVar("T")

log = logging.getLogger("guthi.node")


class Node:
    """One peer of a network, for as long as `async with` lasts.

    `config` names the plugins to run; `plugins` are further plugin classes, for apps that are not installed as
    distributions. `host` is the machine the node lives on: the real one unless a test says otherwise.
    """

    def __init__(self, config: Config, *, plugins: Sequence[type[Plugin]] = (), host: Host | None = None) -> None:
        transport = config.transport
        self.config = config
        self.host: Host = host or SystemHost(transport.max_datagram, transport.receive_buffer)
        self.codec = Codec()
        self.hooks = HookBus()
        self.services = Services()
        self._extra_plugins = tuple(plugins)
        self._plugins: list[Plugin] = []
        self._network: Network | None = None
        self._tasks = TaskSet()
        self._stack: AsyncExitStack | None = None
        self._address: Address | None = None

    @classmethod
    def from_toml(cls, path: str | Path, *, plugins: Sequence[type[Plugin]] = ()) -> Node:
        """A node as a TOML file describes it; raises ConfigError."""
        return cls(Config.from_toml(path), plugins=plugins)

    # ---- who and where

    @property
    def id(self) -> NodeId:
        """Follows from the node's key."""
        return self.me.id

    @property
    def name(self) -> str:
        """What people call it."""
        return self.me.name

    @property
    def address(self) -> Address:
        """The address that the node listens on."""
        if self._address is None:
            raise NodeClosed("the node is not running; use it inside `async with`")
        return self._address

    @property
    def me(self) -> Member:
        """This node's own record, as the others see it."""
        return self.network.membership.me

    @property
    def members(self) -> list[Member]:
        """All other members that are present, sorted by id."""
        return self.network.membership.alive()

    def member(self, name_or_id: str | NodeId) -> Member:
        """The member of that name or id, this node included; raises UnknownMember."""
        return self.network.member(name_or_id)

    @property
    def network(self) -> Network:
        """For plugins: the membership, the endpoint, the requests."""
        if self._network is None:
            raise NodeClosed("the node is not running; use it inside `async with`")
        return self._network

    @property
    def plugins(self) -> tuple[Plugin, ...]:
        """The plugins that run, in the order in which they were started."""
        return tuple(self._plugins)

    # ---- what apps and plugins use

    def provide(self, service: Service[T], provider: T) -> None:
        """Offer a service to the app and to other plugins."""
        self.services.provide(service, provider)

    def require(self, service: Service[T]) -> T:
        """What an enabled plugin provides; raises PluginError where none does."""
        return self.services.require(service)

    def handle(self, topic: str, handler: Handler) -> None:
        """Let `handler` answer requests and take casts on a topic.

        It is given an Incoming and returns the answer, or a coroutine that does; what it raises is raised at the
        caller. A plugin's topics begin with its name.
        """
        self.network.requests.handle(topic, handler)

    async def request(
        self, member: Member | NodeId | str, topic: str, value: Any, *, timeout_s: float | None = None
    ) -> Any:
        """Send a value to a member's handler and wait for the answer.

        Raises what the handler raised, DeadlineExceeded, PeerLost, UnknownTopic, NotEncodable, UnknownMember.
        """
        peer, network = self._id_of(member), self.network
        if not network.is_writable(peer):
            timeout_s = await self._writable_within(peer, timeout_s)
        return await network.requests.request(peer, topic, value, timeout_s)

    async def _writable_within(self, peer: NodeId, timeout_s: float | None) -> float | None:
        """Wait until the peer takes more, and return how much of the time is left; raises DeadlineExceeded."""
        if timeout_s is None:
            await self.network.writable(peer)
            return None
        check_timeout(timeout_s)
        clock = asyncio.get_running_loop().time
        started_at = clock()
        try:
            async with asyncio.timeout(timeout_s):
                await self.network.writable(peer)
        except TimeoutError:
            name = self.network.name_of(peer)
            raise DeadlineExceeded(f"{name} took nothing more for {timeout_s:g} s; too much waits for it") from None
        return max(timeout_s - (clock() - started_at), 0.0)

    def handle_stream(self, topic: str, handler: StreamHandler) -> None:
        """Let `handler`, an `async def`, answer the streams of a topic.

        It is given an Incoming with the opener's first value, and the Stream. To return is to end the stream; what it
        raises is raised at the opener. It is cancelled when the opener leaves or is lost.
        """
        self.network.streams.handle(topic, handler)

    @asynccontextmanager
    async def open_stream(
        self, member: Member | NodeId | str, topic: str, value: Any = None, *, timeout_s: float | None = None
    ) -> AsyncIterator[Stream]:
        """A stream of values to and from a member's handler, which gets `value` first; it lasts as long as the context.

        To leave before the far side has finished cancels its handler. Sending and reading raise what the handler
        raised, DeadlineExceeded `timeout_s` after the opening, PeerLost, UnknownTopic.
        """
        peer = self._id_of(member)
        if not self.network.is_writable(peer):
            timeout_s = await self._writable_within(peer, timeout_s)
        with self.network.streams.open(peer, topic, value, timeout_s) as stream:
            yield stream

    async def cast(self, member: Member | NodeId | str, topic: str, value: Any) -> None:
        """Send a value that needs no answer. It arrives once, unless the peer is lost."""
        peer = self._id_of(member)
        if not self.network.is_writable(peer):
            await self.network.writable(peer)
        self.network.requests.cast(peer, topic, value)

    async def broadcast(self, topic: str, value: Any) -> None:
        """Send a value to all other members, reliably; each one's handler of the topic is called once.

        It returns when the value is on its way, and waits only while too much of what was sent before has reached
        nobody. docs/broadcast.md says who is reached when members fail, join or are cut off. Raises NotEncodable,
        NodeClosed, and UsageError for a topic or a value that is too long.
        """
        await self.network.broadcasting.broadcast(topic, value)

    def handle_broadcast(self, topic: str, handler: Handler) -> None:
        """Let `handler` take what others broadcast on a topic; a node does not hear itself.

        It is given an Incoming whose `peer` is the broadcaster, and may return a coroutine, which is run as a task.
        Messages of one broadcaster come in the order in which it sent them. A plugin's topics begin with its name.
        """
        self.network.broadcasting.handle(topic, handler)

    def _id_of(self, member: Member | NodeId | str) -> NodeId:
        if isinstance(member, NodeId):
            return member
        return member.id if isinstance(member, Member) else self.network.member(member).id

    def accuse(
        self,
        member: Member | NodeId,
        state: MemberState,
        *,
        path: str = "direct",
        evidence: str = "no reason given",
        health: int = 0,
    ) -> None:
        """For failure detectors: spread the verdict that a member is SUSPECT or FAILED; see `Verdict` for the rest.

        The accused is told, and if it lives takes the verdict back. Requests in flight to one that FAILED end with
        PeerLost. Raises UsageError for this node itself, and a member that is unknown or has left.
        """
        self.network.accuse(self._id_of(member), state, path=path, evidence=evidence, health=health)

    def handle_datagram(self, topic: str, handler: DatagramHandler) -> None:
        """Let a plain function hear the datagrams of a topic; it gets an Incoming without a deadline.

        Who sent one is believed of every holder of the cluster key. Raises UsageError for a topic that has a handler.
        """
        self.network.datagrams.handle(topic, handler)

    def send_datagram(self, member: Member | NodeId | str, topic: str, value: Any) -> None:
        """Send a value that may be lost, doubled or overtaken, at once and beside all other traffic: for heartbeats.

        It goes to a member that failed too. Raises UsageError when it takes more than 1,000 bytes, NotEncodable,
        UnknownMember.
        """
        self.network.send_datagram(self._id_of(member), topic, value)

    def start(self, work: Coroutine[Any, Any, Any], name: str | None = None) -> asyncio.Task[Any]:
        """Run a task in the background; it is cancelled when the node stops, and its failure is logged."""
        return self._tasks.start(work, name)

    # ---- life

    async def drain(self, timeout_s: float | None = None) -> bool:
        """Take no new work from others, and wait until what runs for them is done; then is the time to leave.

        What that means is each plugin's (hook `node_draining`); everything else goes on working. False if `timeout_s`,
        by default `drain` in [node], was not enough: then what still runs ends with the node, and is others' to repeat.
        """
        limit_s = self.config.node.drain if timeout_s is None else timeout_s
        work = [self.start(each, "draining") for each in self.hooks.gather("node_draining", node=self)]
        if not work:
            return True
        _, pending = await asyncio.wait(work, timeout=limit_s)
        for each in pending:
            each.cancel()
        return not pending

    async def __aenter__(self) -> Node:
        if self._stack is not None:
            raise UsageError("a node runs once; make a new one")
        self._stack = AsyncExitStack()
        try:
            await self._start(self._stack)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stack is not None:
            self.hooks.notify("node_stopping", node=self)
            await self._stack.aclose()

    async def _start(self, stack: AsyncExitStack) -> None:
        config = self.config.node
        versions = dict(enabled_plugins(config.plugins))
        order = start_order([*versions, *self._extra_plugins])
        identity = self._identity(stack)
        self._network = Network(
            self._record(identity, [(plugin.name, versions.get(plugin, "0")) for plugin in order]),
            identity,
            self.config,
            self.host,
            self.codec,
            self.hooks,
            self._tasks,
        )
        stack.push_async_callback(self._tasks.close)
        self._address = await self._network.open(config.listen, config.advertise)
        stack.push_async_callback(self._network.close)
        for plugin in order:
            if plugin.hookspecs is not None:
                self.hooks.add_specs(plugin.hookspecs)
        for plugin in order:
            await self._run_plugin(self._add_plugin(plugin), stack)
        self.hooks.check()
        self._network.begin()
        await self._network.join(config.join, config.join_timeout)
        self.hooks.notify("node_started", node=self)
        log.debug("%s (%s) listens on %s", self.name, self.id, self.address)

    def _identity(self, stack: AsyncExitStack) -> Identity:
        data_dir = self.config.node.data_dir
        if data_dir is None:
            return Identity.generate(self.host.entropy)
        identity = Identity.load_or_create(data_dir, self.host.entropy)
        stack.enter_context(self.host.hold_identity(data_dir))
        return identity

    def _record(self, identity: Identity, plugins: list[tuple[str, str]]) -> Member:
        config = self.config.node
        return Member(
            id=identity.node_id,
            name=config.name or f"{self.host.name}-{str(identity.node_id)[:4]}",
            addresses=config.advertise or (config.listen,),
            zone=config.zone,
            role=Role.CLIENT if config.role == "client" else Role.PEER,
            incarnation=0,
            state=MemberState.ALIVE,
            public_key=identity.public_key,
            protocol=PROTOCOL_VERSION,
            plugins=tuple(sorted(plugins)),
        )

    def _add_plugin(self, plugin: type[Plugin]) -> Plugin:
        config: Any = self.config.plugin_config(plugin.name, plugin.Config)
        instance = plugin(self, config)
        self.hooks.register(instance, plugin.name)
        self._plugins.append(instance)
        return instance

    async def _run_plugin(self, plugin: Plugin, stack: AsyncExitStack) -> None:
        own = await stack.enter_async_context(AsyncExitStack())
        await plugin.run(own)
        for service in plugin.provides:
            if service not in self.services:
                raise PluginError(f"plugin {plugin.name!r} promises the service {service.name!r} but provides none")
