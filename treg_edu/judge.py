"""The judge: a second CLIP, trained apart from the prior and used by metrics alone.

No number of this course is graded by the network that was optimised against it.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from . import checks, files
from .priors.base import as_list, resized
from .priors.model_files import fitting_tokenizer, readable, weights, without_reports

__all__ = ["Judge", "load_judge"]


class Judge:
    """An image tower that began with photographs (EfficientNet-Lite1) and a text tower, joined by InfoNCE on the training images.

    Images: (B, 3, H, W) in [0, 1], of any size; they are judged at that of the image tower.
    """

    def __init__(self, image_encoder: Any, text_encoder: Any, tokenizer: Any) -> None:
        self.image_encoder, self.text_encoder, self.tokenizer = image_encoder.eval(), text_encoder.eval(), tokenizer

    def _normalised(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * resized(x.to(self.image_encoder.device, torch.float32), self.image_encoder.config.image_size) - 1

    @torch.no_grad()
    def embed_images(self, x: torch.Tensor) -> torch.Tensor:
        """The mean feature of an image and its mirror image, (B, 3, H, W) → (B, p), not normalised.  Raises ArgumentError if not finite."""
        x = self._normalised(x)
        features = self.image_encoder(torch.cat([x, x.flip(-1)])).pooler_output.unflatten(0, (2, -1)).mean(0)
        checks.expect(features.isfinite().all(), "judge", "features that are NaN or infinite", "finite ones; its weights may be damaged")
        return features

    @torch.no_grad()
    def embed_labels(self, texts: str | Iterable[str]) -> torch.Tensor:
        """B strings → (B, p), not normalised; one string is a list of one."""
        limit = self.tokenizer.model_max_length
        tokens = self.tokenizer(as_list(texts), padding=True, truncation=True, max_length=limit).input_ids
        return self.text_encoder(input_ids=torch.tensor(tokens, device=self.text_encoder.device)).text_embeds

    @torch.no_grad()
    def features(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The last map of each size in the image tower, large to small, [(B, c, h, w), …], for `metrics.perceptual_distance`."""
        maps = self.image_encoder(self._normalised(x), output_hidden_states=True).hidden_states
        return list({each.shape[-2:]: each for each in maps}.values())


def load_judge(folder: str | Path | None = None, device: str | torch.device = "cpu") -> Judge:
    """The judge in `folder`; the bundled one, `data/judge`, if None."""
    from transformers import CLIPTextModelWithProjection, CLIPTokenizer, EfficientNetModel

    folder = files.data_folder() / "judge" if folder is None else Path(folder)
    if not folder.is_dir():
        checks.fail("folder", f"{str(folder)!r}, where no judge is", "the folder of one, or a whole installation", checks.MissingFileError)
    with without_reports():
        settings: dict[str, Any] = {"dtype": torch.float32, "ignore_mismatched_sizes": True}  # `weights` tells them
        image_encoder = weights(EfficientNetModel, "folder", folder, "image_encoder", **settings)
        text_encoder = weights(CLIPTextModelWithProjection, "folder", folder, "text_encoder", **settings)
        with readable("folder", folder / "tokenizer"):
            tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    fitting_tokenizer("folder", tokenizer, text_encoder.config)
    return Judge(image_encoder.to(device, memory_format=torch.channels_last), text_encoder.to(device), tokenizer)  # half the time on a CPU
