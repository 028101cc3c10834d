"""What a model template is. Each one is a module of `models/`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from .section import Section


class ModelKind(Section, ABC):
    """The parameters of a model template (`[[model]] params`), and how to make it."""

    @abstractmethod
    def build(self, input_shape: tuple[int, ...], classes: int) -> Any:
        """An untrained `keras.Model` of plain Keras layers that ends in `classes` probabilities (or scores).

        input_shape: (T, C) makes the 1-D model, (H, W, C) the 2-D one. Random values come from Keras's global
        generator, seeded by the caller. Raises UserError where the parameters do not fit the shape.
        """
