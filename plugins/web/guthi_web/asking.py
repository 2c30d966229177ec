"""Asks all nodes that run the plugin the same, a few at a time, and takes what comes in time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from guthi import GuthiError, Member, Node, NodeId

__all__ = ["ask_all", "has_web"]

MOST_ASKED = 128
ASKED_AT_ONCE = 16
ASK_TIMEOUT_S = 3.0

T = TypeVar("T")


def has_web(member: Member) -> bool:
    """Whether a member runs this plugin."""
    return any(name == "web" for name, _ in member.plugins)


async def ask_all(node: Node, topic: str, read: Callable[[Any], T]) -> dict[NodeId, T]:
    """What each of the others answered, as `read` has it, without those who did not; of many only some are asked."""
    asked = [each for each in node.members if has_web(each)][:MOST_ASKED]
    turns = asyncio.Semaphore(ASKED_AT_ONCE)
    found: dict[NodeId, T] = {}

    async def ask(member: Member) -> None:
        async with turns:
            try:
                found[member.id] = read(await node.request(member, topic, None, timeout_s=ASK_TIMEOUT_S))
            except GuthiError:
                return

    await asyncio.gather(*(ask(member) for member in asked))
    return found
