"""The memory plan: in which order and by which rows layers are computed, and where every tensor lies.

offsets: bytes of buffers; layout: buffers of tensors; stream: chains of layers by rows; search: which chains.
"""

from .layout import MemoryPlan, Placement, lay_out, verify
from .offsets import ALIGNMENT
from .search import Goal, plan
from .stream import PLAIN, Strip, Stream, Work

__all__ = [
    "ALIGNMENT", "PLAIN", "Goal", "MemoryPlan", "Placement", "Stream", "Strip", "Work", "lay_out", "plan", "verify",
]  # fmt: skip
