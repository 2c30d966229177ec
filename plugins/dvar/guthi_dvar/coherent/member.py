"""Puts together what a node needs to be a member of views: one that owns, keeps and reads coherent variables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guthi_dvar.coherent.answering import Answerer
from guthi_dvar.coherent.asking import Asker
from guthi_dvar.coherent.distant import Agent
from guthi_dvar.coherent.hearing import Hearer
from guthi_dvar.coherent.owner import Owner
from guthi_dvar.coherent.rounds import Rounds
from guthi_dvar.coherent.standing import Standing
from guthi_dvar.coherent.strategy import Coherent
from guthi_dvar.coherent.succession import Succession
from guthi_dvar.coherent.witnesses import Witnesses
from guthi_dvar.holding import Holding
from guthi_dvar.peers import Peers
from guthi_dvar.publishing import Publisher
from guthi_dvar.upkeep import Upkeep
from guthi_mutex import VIEWS

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["member"]


def member(node: Node, holding: Holding, upkeep: Upkeep, publisher: Publisher, peers: Peers) -> Coherent:
    """The strategy of a node that runs the plugin mutex."""
    shelf = holding.shelf
    standing = Standing(node, node.require(VIEWS))
    rounds = Rounds(node, standing)
    succession = Succession(node, holding, shelf, standing, rounds)
    witnesses = Witnesses(node)
    owner = Owner(node, holding, shelf, standing, rounds, succession, witnesses)
    Hearer(node, holding, shelf, standing, succession, witnesses)
    asker = Asker(node, holding, shelf, standing, succession, owner, witnesses)
    Answerer(node, holding, standing, succession, owner)
    coherent = Coherent(node, holding, shelf, standing, succession, asker, upkeep, publisher, peers)
    Agent(node, holding, coherent)
    return coherent
