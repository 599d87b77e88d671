"""TRegPipeline in bfloat16 on the CPU, and in float16 and bfloat16 on a GPU where there is one."""

import copy
from pathlib import Path

import pytest
import stable_diffusion as sd
import torch

import treg_edu as te

pytestmark = pytest.mark.once

GPU = torch.cuda.is_available()
needs_gpu = pytest.mark.skipif(not GPU, reason=f"no CUDA device: torch {torch.__version__}, no /dev/nvidia0")
HALF = [
    pytest.param("cpu", torch.bfloat16),
    pytest.param("cuda", torch.bfloat16, marks=needs_gpu),
    pytest.param("cuda", torch.float16, marks=needs_gpu),
]
FAR = {torch.float16: 0.005, torch.bfloat16: 0.03}
"""How far from the picture in float32 one may be, root mean square, of images in [0, 1]."""
SOLVERS = {
    "treg": dict(every=1, until=0.5, iterations=2),
    "flowdps": dict(guidance_scale=1.0, step_size=0.5),
    "latent_daps": dict(sigma=0.1, ode_steps=1, chain_steps=2, guidance_scale=1.0),
    "latino": dict(sigma=0.1, inner_steps=1),
    "ldps": dict(),
    "mpgd": dict(),
    "null_text": dict(iterations=1, guidance_scale=1.0),
    "p2l": dict(),
    "psld": dict(),
    "resample": dict(sigma=0.1, every=1, pixel_iterations=2, latent_iterations=2),
}


def test_a_gpu_that_is_there_is_one_that_torch_sees():
    """Or else the tests below would be skipped for want of a torch with CUDA."""
    assert GPU or not Path("/dev/nvidia0").exists(), f"there is a GPU, and torch {torch.__version__} does not see it"


@pytest.fixture(scope="module")
def parts(prior):
    return sd.networks(prior.tokenizer)


@pytest.fixture(scope="module")
def operator():
    return te.operators.SuperResolution(16)


@pytest.fixture(scope="module")
def y(operator):
    return operator.A(torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))


def pipeline(parts, device="cpu", dtype=torch.float32):
    return sd.pipeline_of({name: copy.deepcopy(part) for name, part in parts.items()}).to(device, dtype)


def run(pipe, y, operator, solver="treg", **settings):
    generator = [torch.Generator().manual_seed(seed) for seed in (0, 1)]
    return pipe(y, operator, "fox", solver=solver, generator=generator, output_type="pt", **{"num_inference_steps": 2} | settings)


@pytest.mark.parametrize("device, dtype", HALF)
@pytest.mark.parametrize("solver", ["treg", "ldps", "psld", "p2l"])
def test_half_precision_gives_nearly_the_picture(parts, y, operator, solver, device, dtype):
    """The measurement and the generators stay on the CPU, least squares is in float32."""
    found = run(pipeline(parts, device, dtype), y, operator, solver, **SOLVERS[solver])
    expected = run(pipeline(parts), y, operator, solver, **SOLVERS[solver])
    assert found.images.dtype == found.misfit.dtype == torch.float32 and found.images.device.type == device
    assert 0 < (found.images.cpu() - expected.images).square().mean().sqrt() < FAR[dtype]


@pytest.mark.parametrize("device, dtype", HALF)
@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_of_latents_ends_with_pictures(parts, y, operator, solver, device, dtype):
    found = run(pipeline(parts, device, dtype), y, operator, solver, **SOLVERS[solver])
    assert found.images.dtype == torch.float32 and found.images.isfinite().all() and found.misfit.isfinite().all()
    assert found.images.std() > 0.01


@pytest.mark.parametrize("device, dtype", HALF)
def test_the_lowest_levels_do_not_vanish(parts, device, dtype):
    """1 − ᾱ_0 = 0.00085, which is 0 in bfloat16; and the estimate of the clean latent there is that of float32."""
    prior, exact = pipeline(parts, device, dtype).prior, pipeline(parts).prior
    a = prior.alpha_bar(0)
    assert a.dtype == torch.float32 and 1 - a == pytest.approx(0.00085, rel=1e-3)
    assert dtype == torch.float16 or 1 - a.to(dtype) == 0
    z = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    estimates = [
        te.diffusion.tweedie(z.to(each.device, each.dtype), each.predict_noise(z, 0, each.embed_text("fox")), each.alpha_bar(0))
        for each in (prior, exact)
    ]
    torch.testing.assert_close(estimates[0].float().cpu(), estimates[1], rtol=0, atol=0.05)
    assert (estimates[1] - z).abs().max() > 1e-3  # some noise is taken out


@needs_gpu
def test_a_gpu_gives_the_picture_of_the_cpu(parts, y, operator):
    found = run(pipeline(parts, "cuda"), y, operator, **SOLVERS["treg"])
    torch.testing.assert_close(found.images.cpu(), run(pipeline(parts), y, operator, **SOLVERS["treg"]).images, rtol=0, atol=1e-2)


@needs_gpu
@pytest.mark.parametrize("solver", ["treg", "latino"])
def test_offloading_on_a_gpu(parts, y, operator, solver):
    """The same picture; afterwards every network is on the CPU again, and another run is no different."""
    pipe = pipeline(parts, dtype=torch.float16)
    pipe.enable_model_cpu_offload()
    expected = run(pipeline(parts, "cuda", torch.float16), y, operator, solver, **SOLVERS[solver])
    for _ in range(2):
        found = run(pipe, y, operator, solver, **SOLVERS[solver])
        torch.testing.assert_close(found.images, expected.images, rtol=0, atol=5e-3)
        networks = [part for part in pipe.components.values() if isinstance(part, torch.nn.Module)]
        assert {part.device.type for part in networks} == {"cpu"}
    with pytest.raises(te.checks.ArgumentError, match="^solver: got one whose gradient"):
        run(pipe, y, operator, "ldps")


@needs_gpu
def test_a_generator_may_live_on_the_gpu(parts, y, operator):
    pipe = pipeline(parts, "cuda")
    one, again, other = (
        pipe(y, operator, "fox", generator=torch.Generator("cuda").manual_seed(seed), num_inference_steps=1, output_type="pt").images
        for seed in (0, 0, 1)
    )
    torch.testing.assert_close(one, again, rtol=0, atol=1e-3)
    assert (one - other).abs().max() > 0.01
