"""NUCLEO-L452RE: what the firmware uses of the board is all in its chip."""

from .stm32l452 import make_chip

__all__ = ["make_chip"]
