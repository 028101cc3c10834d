"""The memory plan: in which order and by which rows layers are computed, and where every tensor lies.

offsets: bytes of buffers; layout: buffers of tensors; stream: chains of layers by rows; search: which chains.
"""

from .layout import MemoryPlan, Placement, lay_out, verify
from .offsets import ALIGNMENT, align
from .search import Goal, Option, Parts, arrange, plan
from .stream import PLAIN, Stream, Strip, Work

__all__ = [
    "ALIGNMENT",
    "PLAIN",
    "Goal",
    "MemoryPlan",
    "Option",
    "Parts",
    "Placement",
    "Stream",
    "Strip",
    "Work",
    "align",
    "arrange",
    "lay_out",
    "plan",
    "verify",
]
