"""Guthi's dvar plugin: variables and arrays that all nodes share, by write-invalidation."""

from guthi_dvar.array import DistributedArray
from guthi_dvar.batch import Batch
from guthi_dvar.errors import (
    ConstantWritten,
    SourceUnreachable,
    TableFull,
    TypeMismatch,
    Unavailable,
    UnknownVariable,
    ValueUnavailable,
    VariableExists,
)
from guthi_dvar.plugin import DvarPlugin
from guthi_dvar.readings import Reading, VariableInfo
from guthi_dvar.service import DVAR, Dvar
from guthi_dvar.watching import Change, Lagged

__all__ = [
    "DVAR",
    "Batch",
    "Change",
    "ConstantWritten",
    "DistributedArray",
    "Dvar",
    "DvarPlugin",
    "Lagged",
    "Reading",
    "SourceUnreachable",
    "TableFull",
    "TypeMismatch",
    "Unavailable",
    "UnknownVariable",
    "ValueUnavailable",
    "VariableExists",
    "VariableInfo",
]
