"""What is measured of every reconstruction, and how tables show it."""

import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from .. import images, metrics
from ..judge import Judge
from .arms import Arm, Batch
from .intervals import Limits

__all__ = ["FIGURES", "Figure", "Grader", "cell", "features_of", "picture_of"]


class Figure(NamedTuple):
    """How a table shows a quantity.  title: with its unit.  form: of a number times `scale`.  limits: the least and the most it can be.

    better: +1 where more is better, −1 where less is, 0 where neither.
    """

    title: str
    form: str
    scale: float = 1.0
    limits: Limits = None
    better: int = 0


SHARE: Limits = (0.0, 1.0)
FIGURES = {
    "psnr": Figure("PSNR dB", "{:.2f}", better=1),
    "ssim": Figure("SSIM", "{:.3f}", better=1),
    "distance": Figure("distance", "{:.2f}", better=-1),
    "misfit": Figure("misfit / σ", "{:.1f}", better=-1),
    "top1": Figure("top-1 %", "{:.0f}", 100, SHARE, better=1),
    "top5": Figure("top-5 %", "{:.0f}", 100, SHARE, better=1),
    "similarity": Figure("similarity", "{:.3f}", better=1),
    "kid": Figure("KID ×10³", "{:.1f}", 1e3, better=-1),
    "cost": Figure("× DDIM", "{:.2f}"),
    "passes": Figure("passes", "{:.0f}"),
}
"""What every study's table has.  distance: `metrics.perceptual_distance`.  top1, top5, similarity: by the judge, with the picture's own
label, whatever text the solver was given.  cost: seconds over those of text-to-image DDIM with TReg's steps.  passes: of all networks,
a pass back counted twice."""


def cell(values: Sequence[float] | None, figure: Figure, between: str = " ") -> str:
    """ "mean [low, high]" in a figure's unit, with a star behind a mean that is told from 0; of seconds and counts the mean alone.

    values: (mean, low, high), or (mean, low, high, p); None where there is none.  between: a line break in a narrow table.
    """
    if values is None:
        return "—"
    mean, low, high = (figure.form.format(figure.scale * value) for value in values[:3])
    star = " *" if len(values) == 4 and values[3] < 0.05 else ""
    return f"{mean}{star}{between}[{low}, {high}]" if figure.better else mean


class Grader:
    """The judge, with the features of all labels that it chooses among."""

    def __init__(self, judge: Judge, choices: Sequence[str]) -> None:
        self.judge, self.choices = judge, list(choices)
        self.of_choices = judge.embed_labels(self.choices)

    def grade(self, arm: Arm, batch: Batch, x_hat: torch.Tensor) -> dict[str, Any]:
        """{column: B values}.  x_hat: (B, 3, H, W), finite.

        misfit: RMS of y − A(x̂), with the operator that the solver was given, in units of the noise; y_mse: its square, in those of y.
        asked_…: with the text that was given, its place only where it is one of the judge's labels.
        """
        truth = batch.x
        labels = [batch.pictures.labels[i] for i in batch.rows]
        found = self.judge.embed_images(x_hat)
        own, asked = (self.against(found, texts) for texts in (labels, batch.texts))
        rms = metrics.misfit(batch.operator, x_hat, batch.y)
        return {
            "psnr": metrics.psnr(x_hat, truth).tolist(),
            "ssim": ssim(x_hat, truth),
            "distance": metrics.perceptual_distance(self.judge, truth, x_hat).tolist(),
            "misfit": (rms / arm.measurement.noise_level(truth, batch.y)).tolist(),
            "y_mse": rms.square().tolist(),
            **own,
            **{f"asked_{name}": values for name, values in asked.items()},
            "features": [each.astype(np.float16).tobytes() for each in found.cpu().numpy()],
            "png": [png(each) for each in x_hat],
        }

    def against(self, found: torch.Tensor, texts: Sequence[str]) -> dict[str, list[float]]:
        """The place of each text among the labels, and its similarity.  found: features of B images.  texts: B."""
        places = [self.choices.index(text) if text in self.choices else -1 for text in texts]
        ranks = metrics.label_ranks(found, self.of_choices, [max(place, 0) for place in places]).tolist()
        known = [rank if place >= 0 else float("nan") for rank, place in zip(ranks, places)]

        def within(most: int) -> list[float]:
            """Where the judge has no choice, there is no share."""
            return [float(rank < most) if rank == rank and len(self.choices) > most else float("nan") for rank in known]

        similarity = metrics.clip_similarity(found, self.judge.embed_labels(list(texts)))
        return {"top1": within(1), "top5": within(5), "similarity": similarity.tolist()}


def ssim(x_hat: torch.Tensor, truth: torch.Tensor) -> list[float]:
    """NaN of images that are smaller than its window, 11 pixels."""
    if min(truth.shape[-2:]) < 11:
        return [float("nan")] * len(truth)
    return metrics.ssim(x_hat, truth).tolist()


def png(x: torch.Tensor) -> bytes:
    """One image (3, H, W), so that a row can be looked at, and graded again, without being solved again."""
    stream = io.BytesIO()
    images.to_pil(x).save(stream, format="PNG")
    return stream.getvalue()


def features_of(rows: pd.DataFrame) -> torch.Tensor:
    """The judge's features of rows, (N, d)."""
    return torch.from_numpy(np.stack([np.frombuffer(each, np.float16) for each in rows["features"]]).astype(np.float32))


def picture_of(rows: pd.DataFrame) -> torch.Tensor:
    """The reconstructions of rows, (N, 3, H, W), in 8 bits."""
    from PIL import Image

    return torch.cat([as_stored(Image.open(io.BytesIO(each))) for each in rows["png"]])


def as_stored(image: Any) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
