"""Guthi's rpc plugin: a global function store, calls by name, streams, and map over all nodes."""

from guthi_rpc.calls import Calls
from guthi_rpc.context import Context, current_call
from guthi_rpc.durations import Durations
from guthi_rpc.errors import (
    CodeRefused,
    NoProvider,
    OutcomeUnknown,
    Overloaded,
    PartialResult,
    Undecided,
    UnknownFunction,
    WorkerDied,
)
from guthi_rpc.executor import RpcExecutor
from guthi_rpc.functions import Run
from guthi_rpc.gathering import Answered, Failed, Gathered, Suspected
from guthi_rpc.handles import Call
from guthi_rpc.listing import FunctionInfo
from guthi_rpc.mapping import MapRun
from guthi_rpc.plugin import RpcPlugin
from guthi_rpc.progress import NodeProgress, Progress
from guthi_rpc.results import MapResult
from guthi_rpc.service import RPC, Rpc

__all__ = [
    "RPC",
    "Answered",
    "Call",
    "Calls",
    "CodeRefused",
    "Context",
    "Durations",
    "Failed",
    "FunctionInfo",
    "Gathered",
    "MapResult",
    "MapRun",
    "NoProvider",
    "NodeProgress",
    "OutcomeUnknown",
    "Overloaded",
    "PartialResult",
    "Progress",
    "Rpc",
    "RpcExecutor",
    "RpcPlugin",
    "Run",
    "Suspected",
    "Undecided",
    "UnknownFunction",
    "WorkerDied",
    "current_call",
]
