"""Guthi's mutex plugin: named locks without a master, fenced, safe under failure, with a choice of algorithms."""

from guthi_mutex.algorithm import Algorithm, Effect, Granted, Send
from guthi_mutex.errors import AlgorithmConflict, LockLost, LockNotHeld, NoQuorum, StaleFence
from guthi_mutex.fences import Fence, FenceGate
from guthi_mutex.grant import Grant
from guthi_mutex.plugin import MutexPlugin
from guthi_mutex.service import MUTEX, Lock, LockInfo, Mutex

__all__ = [
    "MUTEX",
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
]
