"""The metric `semantic`: a person's judgement of where the delivered picture's meaning differs from the truth's."""

import os
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field

from blackbox_conformal.annotations.annotation_file import read_annotation
from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.kernels._checks import image_pair
from blackbox_conformal.method.metrics.metric import Metric
from blackbox_conformal.support.types import Image, Map

VARIABLE = "BLACKBOX_CONFORMAL_ANNOTATIONS"
"""Environment variable with the folder of a metric that was built without one."""


class Semantic(Metric):
    """The grade that a person gave each pixel, 0 the same meaning to 1 another one.

    `annotations`: Folder of annotations; the one that the environment variable `BLACKBOX_CONFORMAL_ANNOTATIONS` names
      unless given. Not part of the procedure: another folder, or more annotations, are the same metric.
    """

    space: ClassVar[str] = "annotation"
    reads_pictures: ClassVar[bool] = False

    annotations: Path | None = Field(default=None, exclude=True)

    @property
    def bound(self) -> float:
        return 1.0

    @property
    def error_in_words(self) -> str:
        """Return the grade's name."""
        return "grade by a person (semantic, 1: another meaning)"

    def map(self, truth: Image, delivered: Image) -> Map:
        """Return the annotation of `delivered` against `truth`, both (H, W, 3) uint8: (H, W) float32 in [0, 1]."""
        truth, delivered = image_pair(truth, delivered)
        grades: Map = read_annotation(self._folder(), truth, delivered).astype(np.float32) / np.float32(255)
        return grades

    def _folder(self) -> Path:
        folder = self.annotations or os.environ.get(VARIABLE)
        if not folder:
            raise UsageError(
                "expected a folder of annotations for metric semantic; got none. Give semantic:annotations=FOLDER "
                f"or set {VARIABLE}"
            )
        return Path(folder)


PLUGIN = Semantic
