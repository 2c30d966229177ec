"""Guthi's mutex plugin: named locks without a master, fenced, safe under failure, with a choice of algorithms."""

from guthi_mutex.algorithm import Algorithm, Effect, Granted, Send
from guthi_mutex.errors import AlgorithmConflict, LockLost, LockNotHeld, NoQuorum, StaleFence
from guthi_mutex.fences import Fence, FenceGate
from guthi_mutex.grant import Grant
from guthi_mutex.plugin import MutexPlugin
from guthi_mutex.service import MUTEX, Lock, LockInfo, Mutex
from guthi_mutex.view import View, ViewId
from guthi_mutex.views import VIEWS, Views

__all__ = [
    "MUTEX",
    "VIEWS",
    "Algorithm",
    "AlgorithmConflict",
    "Effect",
    "Fence",
    "FenceGate",
    "Grant",
    "Granted",
    "Lock",
    "LockInfo",
    "LockLost",
    "LockNotHeld",
    "Mutex",
    "MutexPlugin",
    "NoQuorum",
    "Send",
    "StaleFence",
    "View",
    "ViewId",
    "Views",
]
