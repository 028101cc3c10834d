"""SparkFun Edge: what the firmware uses of the board is all in its chip."""

from .apollo3 import make_chip

__all__ = ["make_chip"]
