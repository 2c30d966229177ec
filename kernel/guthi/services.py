"""What plugins offer each other and the app: typed names for objects, one set a node."""

from __future__ import annotations

from typing import Any, Generic, TypeVar, cast

from guthi.errors import PluginError

__all__ = ["Service", "Services"]

T = TypeVar("T")


class Service(Generic[T]):
    """The name of something that a plugin provides, with its type: `RPC: Service[Rpc] = Service("rpc")`."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"Service({self.name!r})"


class Services:
    """The services of one node."""

    def __init__(self) -> None:
        self._provided: dict[str, Any] = {}

    def provide(self, service: Service[T], provider: T) -> None:
        """Offer a service; raises PluginError if it is offered already."""
        if service.name in self._provided:
            raise PluginError(f"the service {service.name!r} is provided twice; enable only one of the plugins")
        self._provided[service.name] = provider

    def require(self, service: Service[T]) -> T:
        """The provider of a service; raises PluginError where no enabled plugin provides it."""
        try:
            return cast(T, self._provided[service.name])
        except KeyError:
            raise PluginError(
                f"nobody provides the service {service.name!r}; enable the plugin that does in [node] plugins"
            ) from None

    def __contains__(self, service: Service[Any]) -> bool:
        return service.name in self._provided
