"""Guthi's rpc plugin: a global function store, calls by name, and map over all nodes."""

from guthi_rpc.errors import NoProvider, UnknownFunction, WorkerDied
from guthi_rpc.functions import Run
from guthi_rpc.listing import FunctionInfo
from guthi_rpc.plugin import RpcPlugin
from guthi_rpc.results import MapResult
from guthi_rpc.service import RPC, Rpc

__all__ = [
    "RPC",
    "FunctionInfo",
    "MapResult",
    "NoProvider",
    "Rpc",
    "RpcPlugin",
    "Run",
    "UnknownFunction",
    "WorkerDied",
]
