"""Training vectors changed at random each epoch (`[[data_augmentation]]`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from .dataset import Floats
from .section import Section


@dataclass(frozen=True, eq=False)
class Blend:
    """Vector i of the epoch is share[i] * vector[first[i]] + (1 - share[i]) * vector[second[i]], labels too.

    first, second: int32 [N], indices of training vectors. share: float32 [N], in 0..1.
    """

    first: NDArray[np.int32]
    second: NDArray[np.int32]
    share: Floats


class AugmentationKind(Section, ABC):
    """The parameters of an augmentation, and the augmentation itself."""

    @abstractmethod
    def apply(self, blend: Blend, random: np.random.Generator) -> Blend:
        """This epoch's vectors, drawn from `random`, which is seeded anew for each epoch."""


class Mixup(AugmentationKind):
    """Mixup (Zhang et al. 2018, arXiv:1710.09412): convex sums of pairs of vectors and of their labels.

    alpha: of the Beta(alpha, alpha) distribution that the share is drawn from, for each vector by itself;
    towards 0 hardly any mixing, 1 is uniform.
    """

    alpha: Annotated[float, Field(gt=0)] = 0.2

    def apply(self, blend: Blend, random: np.random.Generator) -> Blend:
        count = len(blend.first)
        return Blend(
            first=blend.first,
            second=random.permutation(blend.first),
            share=random.beta(self.alpha, self.alpha, count).astype(np.float32),
        )


AUGMENTATIONS: Mapping[str, type[AugmentationKind]] = {"mixup": Mixup}
