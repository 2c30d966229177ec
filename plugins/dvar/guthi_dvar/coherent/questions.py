"""Sends requests in the very turn of the loop in which they are made: a task for each would cost them another turn."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from guthi import NodeId, PeerLost

if TYPE_CHECKING:
    from guthi import Node
    from guthi.messages.requests import Asked

__all__ = ["asking"]


@contextmanager
def asking(
    node: Node, topic: str, bodies: Sequence[tuple[NodeId, Any]], timeout_s: float
) -> Iterator[list[asyncio.Future[Any] | None]]:
    """The answers to come, as of `Node.request`; None where it cannot be asked now: the peer is lost, or takes no more.

    An exception that leaves the context withdraws what has not been answered; else it is only not waited for any more.
    """
    requests = node.network.requests
    asked: list[Asked | None] = []
    try:
        for to, body in bodies:
            asked.append(_ask(node, to, topic, body, timeout_s))
        yield [each.future if each is not None else None for each in asked]
    except BaseException:
        for each in asked:
            if each is not None and (each.future.cancelled() or not each.future.done()):
                requests.withdraw(each)
        raise
    finally:
        for each in asked:
            if each is not None:
                requests.let_go(each)
                if not each.future.cancel() and not each.future.cancelled():
                    each.future.exception()  # nobody may have waited for it


def _ask(node: Node, to: NodeId, topic: str, body: Any, timeout_s: float) -> Asked | None:
    if not node.network.is_writable(to):
        return None
    try:
        return node.network.requests.ask(to, topic, body, timeout_s)
    except PeerLost:
        return None
