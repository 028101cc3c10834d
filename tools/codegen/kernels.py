"""The table of kernels that the runtime library offers: lib/nn_runtime/nn_kernels.def."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..errors import UserError

LINE = re.compile(r"^NN_KERNEL\((\w+), (\w+), (\w+), (NN_\w+)\)$", re.MULTILINE)


def runtime_folder() -> Path:
    """The folder lib/nn_runtime of this checkout. Raises UserError when the package was moved away from it."""
    folder = Path(__file__).resolve().parents[2] / "lib" / "nn_runtime"
    if not (folder / "nn_kernels.def").is_file():
        raise UserError(
            folder, "has no nn_kernels.def", "install microai with `pip install -e` from a checkout"
        )
    return folder


@dataclass(frozen=True)
class KernelTable:
    """Functions by operation and type, for example ("conv", "q8_wide")."""

    functions: Mapping[tuple[str, str], str]

    def function(self, operation: str, kind: str) -> str:
        """Name of the C function. Raises UserError when the runtime has none."""
        try:
            return self.functions[operation, kind]
        except KeyError:
            known = sorted(k for op, k in self.functions if op == operation)
            raise UserError(
                f"kernel {operation}",
                f"the runtime has none for {kind} (it has {', '.join(known) or 'none at all'})",
                "use another type for this layer",
            ) from None


@cache
def kernel_table() -> KernelTable:
    text = (runtime_folder() / "nn_kernels.def").read_text(encoding="utf-8")
    return KernelTable({(op, kind): function for op, kind, function, _ in LINE.findall(text)})
