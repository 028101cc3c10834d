"""MicroAI: neural networks on microcontrollers, from a data set to a measured firmware image."""

__version__ = "0.1.0"
