"""Where the pixel step of `treg`'s first timestep begins."""

import torch


@torch.no_grad()
def first_decoded(prior, step, prompts, null_prompt="out of focus, depth of field", guidance_scale=5.0):
    """D(ẑ₀) of a first step of `treg` with its defaults, by guidance and Tweedie's formula written out.  prompts: a list of B."""
    with_null, with_text = (
        prior.predict_noise(step.z_t, step.t, prior.embed_text(texts)) for texts in ([null_prompt] * len(prompts), list(prompts))
    )
    noise, alpha_bar = with_null + guidance_scale * (with_text - with_null), prior.scheduler.alphas_cumprod[step.t]
    return prior.decode((step.z_t - (1 - alpha_bar).sqrt() * noise) / alpha_bar.sqrt())
