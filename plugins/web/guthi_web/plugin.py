"""The plugin `web`: from its configuration to a server that listens, and what members' changes mean to open pages."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import guthi
from guthi.host.udp import SystemHost
from guthi_web.hooks import WebHooks
from guthi_web.service import WEB, Web

if TYPE_CHECKING:
    import click

    from guthi_web.gate import Gate
    from guthi_web.live import Live
    from guthi_web.measures import Measure
    from guthi_web.server import Server
    from guthi_web.views import Views

__all__ = ["WHERE", "WebPlugin"]

WHERE = "web.where"
SCRIPTS = Path(__file__).parent / "page"
STOP_PATIENCE_S = 5.0

log = logging.getLogger("guthi_web")


@dataclass(frozen=True)
class WebConfig:
    """The table [plugins.web]."""

    listen: guthi.Address = guthi.Address("127.0.0.1", 0)
    """Where it listens, TCP. Port 0: the system chooses, and `guthi web` tells. Off loopback a token is asked for."""
    authentication: Literal["auto", "always"] = "auto"
    """`auto`: a token is asked for unless it listens on loopback. `always`: there too."""
    token_file: Path | None = None
    """A file with a token a line, of at least 16 letters, asked for on loopback too. None: the token is derived from
    the cluster key; `guthi web --token` prints it.
    """
    hosts: tuple[str, ...] = ()
    """Host names, besides the machine's, under which browsers may come, be it through a proxy with TLS; addresses and
    `localhost` are always right.
    """
    certificate: Path | None = None
    """A PEM file; with it the server speaks TLS."""
    certificate_key: Path | None = None
    """The key of the certificate, where it is not in the same file."""
    most_connections: int = 100
    """How many connections are served at a time; a further one gets the place of one that is idle, or 503."""
    most_pages: int = 50
    """How many pages may follow the node live."""

    def __post_init__(self) -> None:
        if self.most_connections < 1 or self.most_pages < 1:
            raise ValueError("most_connections and most_pages must be 1 or more")
        if self.certificate_key is not None and self.certificate is None:
            raise ValueError("certificate_key is there without a certificate")

    @property
    def needs_token(self) -> bool:
        """Whether a token is asked for: always off loopback, and where somebody took the trouble to write one."""
        return self.authentication == "always" or not self.listen.is_loopback or self.token_file is not None


class WebPlugin(guthi.Plugin):
    """One web server a node, for the plugins that have something to show."""

    name = "web"
    provides = (WEB,)
    hookspecs = WebHooks
    Config = WebConfig

    def __init__(self, node: guthi.Node, config: WebConfig) -> None:
        super().__init__(node, config)
        self._web: Web | None = None
        self._live: Live | None = None
        self._views: Views | None = None
        self._gate: Gate | None = None
        self._server: Server | None = None
        self._serving: asyncio.Task[Any] | None = None

    async def run(self, stack: AsyncExitStack) -> None:
        """Take the port, and put together what the kernel itself has to show."""
        from guthi_web.access import Access
        from guthi_web.api import make_app
        from guthi_web.gate import Gate
        from guthi_web.guesses import Guesses
        from guthi_web.live import Live
        from guthi_web.nodes import Links, node_views
        from guthi_web.views import Views

        node, config = self.node, self.config
        tokens = self._tokens()
        bound = self._bind(stack)
        address = guthi.Address(*bound.getsockname()[:2]) if bound is not None else config.listen
        access = Access(tokens, [*config.hosts, node.host.name], node.host.entropy(32), address.port)
        views = self._views = Views(asyncio.get_running_loop().time)
        live = self._live = Live(views, node.start, config.most_pages)
        guesses = Guesses()
        app = make_app(node, access, guesses, views, live)
        gate = self._gate = Gate(app, access, guesses)
        if bound is not None:
            from guthi_web.server import Server

            self._server = Server(gate, bound, config.most_connections, config.certificate, config.certificate_key)
        self._web = Web(app, access, views, address, config.certificate is not None)
        for view in node_views(node, Links(node)):
            views.add(view)
        node.handle(WHERE, self._where)
        node.provide(WEB, self._web)
        stack.push_async_callback(self._stop)

    def _tokens(self) -> Callable[[], Sequence[str]] | None:
        from guthi_web.tokens import tokens_of_file, tokens_of_keyring

        config = self.config
        if not config.needs_token:
            return None
        if config.token_file is not None:
            return tokens_of_file(config.token_file)
        if not self.node.config.security.has_key:
            raise guthi.ConfigError(
                f"[plugins.web] listen = {config.listen} needs a token: give the node a cluster key, from which one is "
                "derived, or name a token_file"
            )
        return tokens_of_keyring(lambda: self.node.network.endpoint.keyring)

    def _bind(self, stack: AsyncExitStack) -> Any:
        """The listening socket; None in a simulated world, which has none."""
        if not isinstance(self.node.host, SystemHost):
            return None
        from guthi_web.server import bind

        bound = bind(self.config.listen)
        stack.callback(bound.close)
        if not self.config.listen.is_loopback and self.config.certificate is None:
            log.warning(
                "[plugins.web] listens on %s without a certificate: the token and all that pages show cross the "
                "network unencrypted",
                self.config.listen,
            )
        return bound

    def _where(self, incoming: guthi.Incoming) -> list[Any]:
        assert self._web is not None
        listen = self._web.address
        host = self.node.me.addresses[0].host if listen.is_wildcard else listen.host
        address = guthi.Address(host, listen.port)
        return [f"{self._web.url.partition('://')[0]}://{address}/", self._web.access.needs_token]

    async def _stop(self) -> None:
        if self._server is not None and self._serving is not None:
            self._server.close()
            await asyncio.wait([self._serving], timeout=STOP_PATIENCE_S)

    @classmethod
    def commands(cls) -> Sequence[click.Command]:
        """`guthi web`."""
        from guthi_web.command import web

        return [web]

    @guthi.hookimpl
    def node_started(self) -> None:
        """All plugins run: gather what they show, and serve."""
        from guthi_web.adapters import add_all
        from guthi_web.api import add_views

        web, views = self._web, self._views
        if web is None or views is None:
            return
        for some in self.node.hooks.gather("web_views"):
            for view in some:
                try:
                    web.add_view(view)
                except guthi.UsageError as error:
                    log.error("%s", error)  # two plugins chose one name: what else there is, is served
        add_all(self.node, web)
        add_views(web.app, views, web.views())
        web.serve_files("/web", SCRIPTS)
        self.node.hooks.notify("web_routes", web=web)
        if self._server is not None:
            self._serving = self.node.start(self._server.run(), "web server")
            log.info("%s serves %s%s", self.node.name, web.url, " (with a token)" if web.access.needs_token else "")

    @guthi.hookimpl
    def web_measures(self) -> Sequence[Measure]:
        """What was not let in, and what services tell that have no plugin of theirs say so."""
        from guthi_web.adapters import measures
        from guthi_web.measures import Measure

        refused = sorted(self._gate.refused.items()) if self._gate is not None else []
        values = [({"status": str(status)}, count) for status, count in refused]
        return [Measure("guthi_web_refused", "counter", "Requests that were not let in.", values), *measures(self.node)]

    @guthi.hookimpl
    def member_joined(self) -> None:
        """Open pages see it at once, as they see whatever else becomes of members."""
        if self._views is not None:
            self._views.nudge("nodes")

    member_updated = member_suspected = member_failed = member_recovered = member_left = member_joined
