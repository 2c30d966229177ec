"""Sends requests in the very turn of the loop in which they are made: a task for each would cost them another turn."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from guthi import NodeId, PeerLost

if TYPE_CHECKING:
    from guthi import Node
    from guthi.messages.requests import Asked

__all__ = ["Questions"]


class Questions:
    """Requests that have been sent; who has sent them enters the context to wait for the answers.

    An exception that leaves it withdraws what has not been answered; else it is only not waited for any more.
    """

    def __init__(self, node: Node, topic: str, bodies: Sequence[tuple[NodeId, Any]], timeout_s: float) -> None:
        self._node, self._requests = node, node.network.requests
        self._asked: list[Asked | None] = []
        try:
            for to, body in bodies:
                self._asked.append(self._ask(to, topic, body, timeout_s))
        except BaseException:
            self._withdraw()
            self._let_go()
            raise

    def __enter__(self) -> list[asyncio.Future[Any] | None]:
        """The answers to come, as of `Node.request`; None where it could not be asked: the peer is lost, or takes no
        more.
        """
        return [each.future if each is not None else None for each in self._asked]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._withdraw()
        self._let_go()

    def _ask(self, to: NodeId, topic: str, body: Any, timeout_s: float) -> Asked | None:
        if not self._node.network.is_writable(to):
            return None
        try:
            return self._requests.ask(to, topic, body, timeout_s)
        except PeerLost:
            return None

    def _withdraw(self) -> None:
        for each in self._asked:
            if each is not None and (each.future.cancelled() or not each.future.done()):
                self._requests.withdraw(each)

    def _let_go(self) -> None:
        for each in self._asked:
            if each is not None:
                self._requests.let_go(each)
                if not each.future.cancel() and not each.future.cancelled():
                    each.future.exception()  # nobody may have waited for it
