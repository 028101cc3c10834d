"""The libraries that come without type information, in one place: everything of them is `Any`."""

from __future__ import annotations

from typing import Any

import capstone as _capstone  # type: ignore[import-untyped]
import capstone.arm as _arm  # type: ignore[import-untyped]
import unicorn as _unicorn
import unicorn.arm_const as _registers
from cobs import cobs as _cobs  # type: ignore[import-untyped]

capstone: Any = _capstone
arm: Any = _arm
unicorn: Any = _unicorn
registers: Any = _registers
cobs: Any = _cobs
