"""Steps between the trained model and the model that is kept (`[[postprocessing]]`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from .optimizer import Optimizer
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


class QuantizationAwareTraining(PostprocessingKind):
    """Trains parameters and number formats of one type further, with its roundings in place (qat.py).

    type: as in [deploy] quantize, with the widths, scales and roundings of its [quantization] section.
    batch_size, optimizer: None is what the model was trained with. ranges: where the scales come from while
    training: the maximum of the batch ("batch", the paper), a moving maximum ("moving"), a learned step
    ("learned"), or post-training quantization, for good ("frozen"). settle: in the last epochs, this many,
    scales and batch normalization are those of inference already.
    """

    type: str
    epochs: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)] | None = None
    optimizer: Optimizer | None = None
    ranges: Literal["batch", "moving", "learned", "frozen"] = "batch"
    settle: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _settles_after_something(self) -> QuantizationAwareTraining:
        if self.settle >= self.epochs and self.ranges != "frozen":
            raise ValueError('settle must be below epochs, or set ranges = "frozen"')
        return self

    def apply(self, model: Any) -> Any:
        """The same model: what this step trains is kept beside it, for one type of numbers."""
        return model


POSTPROCESSING: Mapping[str, type[PostprocessingKind]] = {
    "remove_softmax": RemoveSoftmax,
    "quantization_aware_training": QuantizationAwareTraining,
}
