"""Steps between the trained model and the model that is kept (`[[postprocessing]]`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from .section import Section


class PostprocessingKind(Section, ABC):
    """The parameters of a step, and the step itself."""

    @abstractmethod
    def apply(self, model: Any) -> Any:
        """The `keras.Model` after this step."""


class RemoveSoftmax(PostprocessingKind):
    """Drops a softmax at the end: it changes no argmax, and costs time on the target (paper, section 5.4)."""

    def apply(self, model: Any) -> Any:
        from .backend import scores

        return scores(model)


POSTPROCESSING: Mapping[str, type[PostprocessingKind]] = {"remove_softmax": RemoveSoftmax}
