"""The prior: a text-conditional latent diffusion model, and everything a solver may ask of it."""

import copy
import json
import numbers
import warnings
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.nn import functional as F

from .images import data_folder

CLIP_OF_STABLE_DIFFUSION = "openai/clip-vit-large-patch14"


class LatentDiffusion:
    """A diffusers Stable Diffusion folder and the CLIP whose text tower it uses, on one device.

    Images x: (B, 3, H, W) in [0, 1].  Latents z: (B, 4, h, w), scaled to about unit variance.  Embeddings c: (B, L, d), the hidden
    states of the text tower.  Features: (B, p), in CLIP's shared space, not normalised.
    """

    def __init__(self, vae, unet, tokenizer, text_encoder, scheduler, clip, image_mean, image_std, recommended=None):
        self.vae, self.unet, self.tokenizer, self.text_encoder = vae, unet, tokenizer, text_encoder
        self.scheduler, self.clip = scheduler, clip
        self.image_mean, self.image_std = image_mean, image_std
        self.recommended = recommended or {}
        if scheduler.config.prediction_type not in ("epsilon", "v_prediction"):
            raise ValueError(f"scheduler: predicts {scheduler.config.prediction_type!r}, expected 'epsilon' or 'v_prediction'")
        if not scheduler.alphas_cumprod.min() > 0:
            raise ValueError("scheduler: ᾱ falls to 0 (rescale_betas_zero_snr), expected above 0: no estimate of z₀ is left there")
        if unet.config.in_channels != vae.config.latent_channels:
            raise ValueError(f"unet: takes {unet.config.in_channels} channels, expected the {vae.config.latent_channels} of the latents")
        if unet.config.cross_attention_dim != text_encoder.config.hidden_size:
            came, expected = unet.config.cross_attention_dim, text_encoder.config.hidden_size
            raise ValueError(f"unet: attends to text states of width {came}, expected {expected}, that of its one text encoder")
        if not hasattr(clip.config, "vision_config"):
            raise ValueError(f"clip: got a {type(clip).__name__}, expected a CLIP with an image tower and a text tower")
        for network in (vae, unet, text_encoder, clip):
            network.requires_grad_(False).eval()

    @property
    def device(self):
        return self.unet.device

    @property
    def dtype(self):
        return self.unet.dtype

    # ---- images ↔ latents

    def encode(self, x):
        """E(x): the posterior mean, scaled.  (B, 3, H, W) in [0, 1] → (B, 4, h, w)."""
        return self.vae.encode(2 * x.to(self.device, self.dtype) - 1).latent_dist.mode() * self.vae.config.scaling_factor

    def decode(self, z):
        """D(z).  (B, 4, h, w) → (B, 3, H, W), not clamped, so that gradients and linear operators see all of it."""
        return self.vae.decode(z.to(self.device, self.dtype) / self.vae.config.scaling_factor).sample / 2 + 0.5

    def latent_shape(self, size=None):
        """(4, h, w) for images of `size`, a side or (H, W); the training size if None."""
        factor = 2 ** (len(self.vae.config.block_out_channels) - 1)
        size = factor * self.unet.config.sample_size if size is None else size
        height, width = (size, size) if isinstance(size, int) else size
        if height % factor or width % factor or min(height, width) < factor:
            raise ValueError(f"size: got {height}×{width}, expected multiples of {factor}, the factor of this prior's autoencoder")
        return self.vae.config.latent_channels, height // factor, width // factor

    # ---- words

    def embed_text(self, texts):
        """c: hidden states of the text tower for B strings, (B, L, d); one string is a list of one.

        Warns of what a text loses at the tokenizer's length.
        """
        tokens = self._tokens(texts, padding="max_length")
        return self.text_encoder(tokens).last_hidden_state

    def _tokens(self, texts, padding):
        texts = as_list(texts)
        limit = self.tokenizer.model_max_length
        whole = self.tokenizer(texts, verbose=False).input_ids
        for text, tokens in zip(texts, whole):
            if len(tokens) > limit:
                lost = self.tokenizer.decode(tokens[limit - 1 : -1])
                warnings.warn(f"prompt: {len(tokens)} tokens, the prior takes {limit}; cut from {text!r}: {lost!r}", stacklevel=4)
        cut = self.tokenizer(texts, padding=padding, truncation=True, max_length=limit, return_tensors="pt")
        return cut.input_ids.to(self.device)

    # ---- CLIP's shared space

    def embed_images(self, x):
        """Image features of x, (B, 3, H, W) in [0, 1] → (B, p)."""
        side = self.clip.config.vision_config.image_size
        x = x.to(self.device, self.dtype)
        if x.shape[-2:] != (side, side):
            x = F.interpolate(x, (side, side), mode="bicubic", antialias=True, align_corners=False)
        x = x.clamp(0, 1)
        mean, std = (x.new_tensor(value)[:, None, None] for value in (self.image_mean, self.image_std))
        pooled = self.clip.vision_model(pixel_values=(x - mean) / std).pooler_output.flatten(1)  # some convolutional towers leave (B, d, 1, 1)
        return self.clip.visual_projection(pooled)

    def embed_labels(self, texts):
        """Text features of B strings, (B, p); one string is a list of one."""
        return self.clip.text_projection(self.clip.text_model(input_ids=self._tokens(texts, padding=True)).pooler_output)

    def to_hidden_space(self, feature):
        """Pull an image feature back through the text projection P, so that ⟨Pᵀ f, c⟩ = ⟨f, P c⟩ for a hidden state c.

        (B, p) → (B, d).  f is normalised first.
        """
        return F.normalize(feature, dim=-1) @ self.clip.text_projection.weight

    # ---- diffusion

    def timesteps(self, steps):
        """[(t, t_prev), …], noise falling, as the scheduler spaces them; the last t_prev is −1, the clean latent."""
        most = self.scheduler.config.num_train_timesteps
        if not isinstance(steps, numbers.Integral) or isinstance(steps, bool) or not 1 <= steps <= most:
            raise ValueError(f"steps: got {steps!r}, expected an integer from 1 to {most}")
        scheduler = copy.copy(self.scheduler)  # set_timesteps changes it, and a panel's thread may be walking another list
        scheduler.set_timesteps(int(steps))
        ts = scheduler.timesteps.tolist()[:steps]  # for some counts "trailing" spacing is one too long, by rounding
        if ts[0] >= most:
            raise ValueError(f"steps: got {steps}, which this prior's schedule starts at t = {ts[0]}, past its last timestep; expected fewer")
        return list(zip(ts, ts[1:] + [-1]))

    def alpha_bar(self, t):
        """ᾱ_t, a scalar tensor; for t = −1 the value the scheduler gives the clean latent.

        In float32 at least: 1 − ᾱ_t of the lowest noise levels is 0 in bfloat16. A scalar leaves the dtype of what it multiplies alone.
        """
        value = self.scheduler.alphas_cumprod[t] if t >= 0 else self.scheduler.final_alpha_cumprod
        return value.to(self.device, torch.promote_types(self.dtype, torch.float32))

    def predict_noise(self, z_t, t, text_embedding):
        """ε_θ(z_t, t, c), (B, 4, h, w).  A network trained for v = √ᾱ ε − √(1 − ᾱ) z₀ (Salimans & Ho 2022) is converted:

        ε = √ᾱ v + √(1 − ᾱ) z_t
        """
        z_t, text_embedding = z_t.to(self.device, self.dtype), text_embedding.to(self.device, self.dtype)
        output = self.unet(z_t, t, encoder_hidden_states=text_embedding).sample
        if self.scheduler.config.prediction_type == "epsilon":
            return output
        alpha_bar = self.alpha_bar(t)
        return alpha_bar.sqrt() * output + (1 - alpha_bar).sqrt() * z_t


def as_list(texts):
    """One string is a list of one; no text at all is an error."""
    texts = [texts] if isinstance(texts, str) else list(texts)
    if not texts:
        raise ValueError("texts: got none, expected a string or a list of at least one")
    return texts


def load_prior(name=None, device="cpu", dtype=torch.float32, clip=None):
    """The bundled prior, or any Stable Diffusion folder or hub model, named by the user.

    name: None for `data/prior`; a folder; or a hub name such as "stable-diffusion-v1-5/stable-diffusion-v1-5" (downloaded once).
    dtype: torch.float32, or on a GPU torch.bfloat16 or torch.float16.
    clip: the CLIP whose text tower the model uses, a folder or hub name; None means `clip/` inside the folder if there is one, and
    otherwise CLIP ViT-L/14, which Stable Diffusion 1.x uses.
    """
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import AutoModel, CLIPTextModel, CLIPTokenizer

    source = _source(name)
    folder = Path(source)
    settings = {"torch_dtype": dtype, "use_safetensors": True}
    if clip is None:
        clip = str(folder / "clip") if (folder / "clip").is_dir() else CLIP_OF_STABLE_DIFFUSION
    preprocessing = _preprocessing(clip)
    recommended = folder / "treg.json"
    channels_last = torch.channels_last  # convolutional image towers take half the time on a CPU
    with without_bars():
        return LatentDiffusion(
            AutoencoderKL.from_pretrained(source, subfolder="vae", **settings).to(device),
            UNet2DConditionModel.from_pretrained(source, subfolder="unet", **settings).to(device),
            CLIPTokenizer.from_pretrained(source, subfolder="tokenizer"),
            CLIPTextModel.from_pretrained(source, subfolder="text_encoder", dtype=dtype, use_safetensors=True).to(device),
            DDIMScheduler.from_pretrained(source, subfolder="scheduler"),
            AutoModel.from_pretrained(clip, dtype=dtype, use_safetensors=True, trust_remote_code=False).to(device, memory_format=channels_last),
            preprocessing["image_mean"],
            preprocessing["image_std"],
            json.loads(recommended.read_text()) if recommended.is_file() else None,
        )


def training_side(name=None):
    """The side of the images that a prior was trained on, read from its configuration alone.  name: as in `load_prior`."""
    from diffusers import AutoencoderKL, UNet2DConditionModel

    source = _source(name)
    unet, vae = (network.load_config(source, subfolder=part) for network, part in ((UNet2DConditionModel, "unet"), (AutoencoderKL, "vae")))
    return unet["sample_size"] * 2 ** (len(vae["block_out_channels"]) - 1)


@contextmanager
def without_bars():
    """Load weights without the libraries' progress bars; a download keeps its own."""
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    shown = [library for library in (of_diffusers, of_transformers) if library.is_progress_bar_enabled()]
    for library in shown:
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library in shown:
            library.enable_progress_bar()


def _source(name):
    """A folder, or the name of a model that the hub has."""
    folder = data_folder() / "prior" if name is None else Path(name)
    if name is None and not folder.is_dir():
        raise FileNotFoundError(f"name: the bundled prior is not at {folder}; clone the repository whole, or name a model")
    return str(folder) if folder.is_dir() else _on_the_hub(str(name))


def _on_the_hub(name):
    from huggingface_hub import hf_hub_download

    try:
        if "/" not in name:
            raise ValueError("a name on the hub is owner/model")
        hf_hub_download(name, "model_index.json")
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"name: got {name!r}, which is no folder here and no diffusers model that was downloaded before or can be reached on the hub; "
            "expected None for the bundled prior, a folder, or a name such as 'stable-diffusion-v1-5/stable-diffusion-v1-5'"
        ) from error
    return name


def _preprocessing(clip):
    from huggingface_hub import hf_hub_download

    local = Path(clip) / "preprocessor_config.json"
    try:
        return json.loads(Path(local if local.is_file() else hf_hub_download(str(clip), local.name)).read_text())
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"clip: got {str(clip)!r}, where no {local.name} is or can be fetched; expected a CLIP that was downloaded before or can be "
            "reached on the hub, such as 'openai/clip-vit-large-patch14', or a folder with one"
        ) from error
