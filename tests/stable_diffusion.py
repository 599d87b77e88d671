"""Untrained networks in the shape of Stable Diffusion 1.5: its configurations, with narrow layers; 64×64 pixels, latents of 8×8."""

import copy
import warnings

import torch
from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel

import treg_edu as te

__all__ = ["PNDM", "REAL", "TEXT", "UNET", "VAE", "VISION", "WEIGHTS", "networks", "of_diffusers", "pipeline_of", "prior_of"]

# What the files of stable-diffusion-v1-5 and of CLIP ViT-L/14 say; NARROW replaces widths, sides and the number of the towers' layers.
# A group of a normalisation has at least eight numbers, as one of few, at 1×1 pixels, would turn rounding into noise.
PNDM = dict(
    beta_end=0.012, beta_schedule="scaled_linear", beta_start=0.00085, num_train_timesteps=1000, set_alpha_to_one=False,
    skip_prk_steps=True, steps_offset=1, trained_betas=None, clip_sample=False,
)  # fmt: skip
UNET = dict(
    act_fn="silu", attention_head_dim=8, center_input_sample=False, cross_attention_dim=768,
    down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"), downsample_padding=1,
    flip_sin_to_cos=True, freq_shift=0, in_channels=4, layers_per_block=2, mid_block_scale_factor=1, norm_eps=1e-5, norm_num_groups=32,
    out_channels=4, sample_size=64, up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    block_out_channels=(320, 640, 1280, 1280),
)  # fmt: skip
VAE = dict(
    act_fn="silu", block_out_channels=(128, 256, 512, 512), down_block_types=("DownEncoderBlock2D",) * 4, in_channels=3, latent_channels=4,
    layers_per_block=2, norm_num_groups=32, out_channels=3, sample_size=512, up_block_types=("UpDecoderBlock2D",) * 4,
)  # fmt: skip
TEXT = dict(
    hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, max_position_embeddings=77,
    hidden_act="quick_gelu", vocab_size=49408, bos_token_id=0, eos_token_id=2, pad_token_id=1,
)  # fmt: skip
VISION = dict(
    hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16, image_size=224, patch_size=14,
    hidden_act="quick_gelu",
)  # fmt: skip
NARROW = dict(
    unet=dict(block_out_channels=(16, 16, 32, 32), cross_attention_dim=16, sample_size=8, norm_num_groups=2),
    vae=dict(block_out_channels=(8, 8, 16, 16), sample_size=64, norm_num_groups=2),
    text=dict(hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, vocab_size=6000),
    vision=dict(hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=28),
    projection=16,
)
REAL = dict(unet={}, vae={}, text={}, vision={}, projection=768)
WEIGHTS = {"unet": 859_520_964, "vae": 83_653_863, "text_encoder": 123_060_480, "clip": 427_616_513}
"""How many each network has in Stable Diffusion 1.5, and CLIP ViT-L/14."""


def networks(tokenizer, narrow=NARROW, with_clip=True):
    """{part of a prior: network}; deterministic, whatever was drawn before.  tokenizer: any; it takes 77 tokens, as CLIP's does."""
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.model_max_length = 77
    text, vision = TEXT | narrow["text"], VISION | narrow["vision"]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet, vae = UNet2DConditionModel(**UNET | narrow["unet"]), AutoencoderKL(**VAE | narrow["vae"])
        text_encoder = CLIPTextModel(CLIPTextConfig(**text)).eval()
        clip = (
            CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=narrow["projection"])).eval() if with_clip else None
        )
    return dict(vae=vae.eval(), unet=unet.eval(), tokenizer=tokenizer, text_encoder=text_encoder, clip=clip)


def scheduler_or_pndm(scheduler):
    return copy.deepcopy(scheduler) if scheduler is not None else PNDMScheduler.from_config(PNDM)


def prior_of(parts, scheduler=None):
    """`LatentDiffusion` of the networks."""
    scheduler = te.priors.scheduler_of(scheduler_or_pndm(scheduler))
    return te.LatentDiffusion(**parts, scheduler=scheduler, image_mean=[0.5] * 3, image_std=[0.25] * 3)


def pipeline_of(parts, scheduler=None):
    """`TRegPipeline` of the networks, quiet."""
    pipe = te.TRegPipeline(**parts, scheduler=scheduler_or_pndm(scheduler), image_mean=[0.5] * 3, image_std=[0.25] * 3)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def of_diffusers(parts, scheduler=None):
    """`StableDiffusionPipeline` of the networks, quiet."""
    of_pipeline = {name: part for name, part in parts.items() if name != "clip"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # what it corrects in a scheduler
        pipe = StableDiffusionPipeline(
            **of_pipeline,
            scheduler=scheduler_or_pndm(scheduler),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    pipe.set_progress_bar_config(disable=True)
    return pipe
