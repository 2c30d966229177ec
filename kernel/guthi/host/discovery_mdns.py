"""How announcements travel on a real local network: as a service of multicast DNS, by the library zeroconf.

The service is `_guthi._udp.local.`, its instance the short node id; its address records and port are those of the node,
and its text record has `tags`, with commas between them. Import it only where zeroconf is installed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from ipaddress import ip_address

from zeroconf import Error, InterfaceChoice, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from guthi.api import Address, Announcement
from guthi.errors import AddressUnavailable

__all__ = ["MulticastBeacon"]

SERVICE = "_guthi._udp.local."
LOOKUP_MS = 3000
LOOKUPS_AT_A_TIME = 16
MAX_WAITING = 1024  # names to look up; more at a time are invented, and an honest node finds us as well as we it
MAX_TAGS = 16


class MulticastBeacon:
    """One node on the local network; made by `open`."""

    def __init__(self, port: AsyncZeroconf, announcement: Announcement, found: Callable[[Announcement], None]) -> None:
        self._port, self._found = port, found
        self._info = _service(announcement)
        self._lookups: set[asyncio.Task[None]] = set()
        self._waiting: dict[str, None] = {}  # names that are looked up when others have been; the first is next
        self._browser: AsyncServiceBrowser | None = None

    @classmethod
    async def open(cls, announcement: Announcement, found: Callable[[Announcement], None]) -> MulticastBeacon:
        """Announce, and look for others; `found` is called for each. Raises AddressUnavailable without multicast."""
        try:
            port = AsyncZeroconf(interfaces=_interfaces(announcement))
        except OSError as error:
            raise AddressUnavailable(f"multicast DNS cannot be used here: {error.strerror or error}") from None
        beacon = cls(port, announcement, found)
        try:
            # A node id is nobody else's, so nobody is asked: whoever answered would keep the node from starting.
            await port.async_register_service(beacon._info, cooperating_responders=True, strict=False)
        except BaseException:
            await port.async_close()
            raise
        beacon._browser = AsyncServiceBrowser(port.zeroconf, SERVICE, handlers=[beacon._changed])
        return beacon

    async def update(self, announcement: Announcement) -> None:
        """Say something else from now on."""
        self._info = _service(announcement)
        await self._port.async_update_service(self._info)

    async def close(self) -> None:
        """Say goodbye, and release the port."""
        if self._browser is not None:
            await self._browser.async_cancel()
        self._stop_looking()
        await self._port.async_unregister_all_services()
        await self._port.async_close()

    def _changed(self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        if state_change is ServiceStateChange.Removed:
            self._waiting.pop(name, None)
        elif len(self._waiting) < MAX_WAITING:
            self._waiting[name] = None
            self._look_on()

    def _look_on(self) -> None:
        while self._waiting and len(self._lookups) < LOOKUPS_AT_A_TIME:
            name = next(iter(self._waiting))
            del self._waiting[name]
            lookup = asyncio.get_running_loop().create_task(self._look_up(name))
            self._lookups.add(lookup)
            lookup.add_done_callback(self._looked_up)

    def _looked_up(self, lookup: asyncio.Task[None]) -> None:
        self._lookups.discard(lookup)
        self._look_on()

    def _stop_looking(self) -> None:
        self._waiting.clear()
        for lookup in self._lookups:
            lookup.cancel()

    async def _look_up(self, name: str) -> None:
        try:
            info = AsyncServiceInfo(SERVICE, name)
            is_answered = await info.async_request(self._port.zeroconf, LOOKUP_MS)
        except Error:
            return  # no name of a service, though announced as one
        if is_answered:
            self._found(_announcement(info))


def _service(announcement: Announcement) -> AsyncServiceInfo:
    port = announcement.addresses[0].port
    hosts = [address.host for address in announcement.addresses if address.port == port]
    return AsyncServiceInfo(
        SERVICE,
        f"{announcement.instance}.{SERVICE}",
        port=port,
        properties={"tags": ",".join(announcement.tags)},
        server=f"guthi-{announcement.instance}.local.",
        parsed_addresses=hosts,
    )


def _announcement(info: AsyncServiceInfo) -> Announcement:
    """What a stranger's service says; whatever does not fit is left out."""
    tags = (info.properties.get(b"tags") or b"").decode("ascii", "replace").split(",")[:MAX_TAGS]
    addresses = tuple(Address(host, info.port) for host in info.parsed_addresses()) if info.port else ()
    return Announcement(info.name.removesuffix(f".{SERVICE}"), addresses, tuple(tags))


def _interfaces(announcement: Announcement) -> InterfaceChoice | list[str]:
    """All of them, but loopback alone for a node that nobody else can reach."""
    hosts = [address.host for address in announcement.addresses]
    if all(ip_address(host).is_loopback for host in hosts):
        return hosts
    return InterfaceChoice.All
