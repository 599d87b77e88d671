"""Which operators of deepinv the solvers take: every public physics class is built and given to `treg` for two steps.

python tools/deepinv_table.py    rewrites the table of docs/deepinv.md, which tests/test_deepinv_physics.py compares with what happens
"""

import inspect
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from deepinv_reference import deepinv
from first_step import first_decoded

import treg_edu as te

PAGE = Path(__file__).resolve().parents[1] / "docs" / "deepinv.md"
HEAD = "| class | built as | taken | how, or why not |\n| --- | --- | --- | --- |\n"
RGB = (3, 64, 64)

GAUSS = "gaussian_blur(psf_size=(9, 9), sigma=(1.0, 1.0))"
BLUR = "BlurFFT((3, 64, 64), gaussian_blur(sigma=1.0))"
# How each class is built.  The names are those of deepinv.physics and deepinv.physics.functional.
CASES = {
    "Blur": f"Blur({GAUSS}, padding='reflect')",
    "BlurFFT": BLUR,
    "BlurFFTMultiScaler": f"BlurFFTMultiScaler({BLUR}, (3, 64, 64))",
    "BlurMultiScaler": f"BlurMultiScaler(Blur({GAUSS}, padding='circular'), (3, 64, 64))",
    "ComposedLinearPhysics": f"ComposedLinearPhysics({BLUR}, Decolorize())",
    "ComposedPhysics": f"ComposedPhysics({BLUR}, Physics(A=torch.square))",
    "CompressedSensing": "CompressedSensing(300, (3, 64, 64))",
    "CompressiveSpectralImaging": "CompressiveSpectralImaging((3, 64, 64))",
    "Decolorize": "Decolorize()",
    "DecomposablePhysics": "DecomposablePhysics(mask=0.5)",
    "Demosaicing": "Demosaicing((3, 64, 64))",
    "Denoising": "Denoising()",
    "Downsampling": "Downsampling((3, 64, 64), filter='bicubic', factor=4)",
    "DownsamplingMatlab": "DownsamplingMatlab(factor=4)",
    "DynamicMRI": "DynamicMRI(torch.ones(64, 64), (2, 3, 64, 64))",
    "Haze": "Haze()",
    "HyperSpectralUnmixing": "HyperSpectralUnmixing(E=3, C=8)",
    "Inpainting": "Inpainting((3, 64, 64), mask=0.5)",
    "InpaintingMultiScaler": "InpaintingMultiScaler(Inpainting((3, 64, 64), mask=0.5), (3, 64, 64))",
    "LinearPhysics": "LinearPhysics(A=lambda x: x.mean(1, True), A_adjoint=lambda y: y.expand(-1, 3, -1, -1) / 3)",
    "LinearPhysicsMultiScaler": f"LinearPhysicsMultiScaler({BLUR}, (3, 64, 64))",
    "MRI": "MRI(img_size=(2, 64, 64))",
    "MultiCoilMRI": "MultiCoilMRI(img_size=(2, 64, 64))",
    "NonCartesianMRI": "NonCartesianMRI((64, 64))",
    "PET": "PET((3, 64, 64))",
    "Pansharpen": "Pansharpen((3, 64, 64))",
    "PhaseRetrieval": "PhaseRetrieval(CompressedSensing(300, (3, 64, 64)))",
    "Physics": "Physics(A=torch.square)",
    "PhysicsCropper": "PhysicsCropper(BlurFFT((3, 62, 62), gaussian_blur(sigma=1.0)), (2, 2))",
    "PhysicsMultiScaler": f"PhysicsMultiScaler({BLUR}, (3, 64, 64))",
    "Ptychography": "Ptychography((1, 64, 64))",
    "PtychographyLinearOperator": "PtychographyLinearOperator((1, 64, 64))",
    "RadioInterferometry": "RadioInterferometry((64, 64), torch.zeros(2, 9))",
    "RandomPhaseRetrieval": "RandomPhaseRetrieval(300, (3, 64, 64), dtype=torch.float32)",
    "Scattering": "Scattering(64, torch.rand(2, 3), torch.rand(2, 2))",
    "SequentialMRI": "SequentialMRI(torch.ones(1, 2, 3, 64, 64))",
    "SinglePhotonLidar": "SinglePhotonLidar()",
    "SinglePixelCamera": "SinglePixelCamera(300, (3, 64, 64))",
    "SpaceVaryingBlur": f"SpaceVaryingBlur({GAUSS}[:, :, None], torch.ones(1, 1, 1, 64, 64))",
    "SpatialUnwrapping": "SpatialUnwrapping()",
    "StackedLinearPhysics": f"StackedLinearPhysics([{BLUR}, Denoising()])",
    "StackedPhysics": "StackedPhysics([Denoising(), Physics(A=torch.square)])",
    "StructuredRandom": "StructuredRandom((3, 64, 64), (3, 64, 64))",
    "StructuredRandomPhaseRetrieval": "StructuredRandomPhaseRetrieval((3, 64, 64), (3, 64, 64), n_layers=2)",
    "TiledSpaceVaryingBlur": f"TiledSpaceVaryingBlur({GAUSS}[:, :, None].expand(1, 1, 9, -1, -1), 32, 16)",
    "Tomography": "Tomography(20, 64)",
    "TomographyWithAstra": "TomographyWithAstra((64, 64), normalize=False)",
    "UltrasoundPlaneWave": "UltrasoundPlaneWave((64, 64), [0.0], torch.zeros(4, 2), 256, 40e6)",
    "Upsampling": "Upsampling((3, 128, 128), filter='bicubic', factor=2)",
    "VirtualLinearPhysics": f"VirtualLinearPhysics(physics={BLUR}, transform=Reflect(), g_params={{'dims': torch.tensor([[-1.0]])}})",
}

# The shape of the images of those that measure no RGB image; None where an image is no tensor.
IMAGES = {
    "DynamicMRI": (2, 3, 64, 64),
    "Haze": None,
    "MRI": (2, 64, 64),
    "MultiCoilMRI": (2, 64, 64),
    "Ptychography": (1, 64, 64),
    "PtychographyLinearOperator": (1, 64, 64),
    "SequentialMRI": (2, 64, 64),
    "UltrasoundPlaneWave": (1, 64, 64),
}

# What deepinv does not bring along: {class: package}.  These are not tried, installed or not, so that the table is the same everywhere.
NEEDS = {
    "NonCartesianMRI": "mrinufft",
    "PET": "parallelproj",
    "RadioInterferometry": "torchkbnufft",
    "Scattering": "scipy",
    "TomographyWithAstra": "astra",
}


class Row(NamedTuple):
    """One line of the table.  taken: "linear", "nonlinear", "no" or "not tried"."""

    name: str
    built: str
    taken: str
    note: str

    def __str__(self):
        built = self.built.replace("|", "\\|")
        return f"| {self.name} | `{built}` | {self.taken} | {self.note} |"


def classes():
    """The names of the public classes of deepinv.physics that are physics."""
    members = vars(deepinv.physics).items()
    return sorted(name for name, each in members if inspect.isclass(each) and issubclass(each, deepinv.physics.Physics))


def build(name):
    torch.manual_seed(0)
    return eval(
        CASES[name], {"torch": torch, "Reflect": deepinv.transform.Reflect, **vars(deepinv.physics.functional), **vars(deepinv.physics)}
    )


def measure(name, physics):
    """The measurement of two images; each alone, as some take a batch of one only."""
    shape = IMAGES.get(name, RGB)
    if shape is None:
        return torch.rand(2, *RGB)
    measured = [physics.A(x) for x in torch.rand(2, 1, *shape)]
    return torch.cat(measured) if isinstance(measured[0], torch.Tensor) else measured[0]


def row(name, prior):
    """What happens to the operator in `treg`: two steps, a pixel step in each, for a batch of two."""
    built = CASES[name]
    if name in NEEDS:
        return Row(name, built, "not tried", f"needs {NEEDS[name]}")
    physics = build(name)
    y = measure(name, physics)
    try:
        walk = list(te.treg(prior, physics, y, "fox", steps=2, every=1, until=1.0, iterations=5, negation=None))
    except te.checks.ArgumentError as error:
        return Row(name, built, "no", str(error).replace("|", "\\|"))
    linear = te.operators.is_linear(physics)
    x_hat = walk[-1].x_hat
    assert x_hat.shape == (2, *RGB) and x_hat.isfinite().all(), f"{name}: {x_hat.shape}"
    x = first_decoded(prior, walk[0], ["fox", "fox"])
    pixel_step = te.consistency.pixel_step if linear else te.consistency.pixel_step_nonlinear
    far = (walk[0].x_hat - pixel_step(physics, y, x, iterations=5).clamp(0, 1)).abs().max()
    assert far < 1e-3, f"{name}: the first image is {far:.2g} away from five iterations of the pixel step"
    assert (walk[0].misfit < te.operators.misfit(physics, x, y)).all(), f"{name}: the pixel step does not lower the misfit"
    return Row(name, built, "linear", "`A`, `A_adjoint`") if linear else Row(name, built, "nonlinear", "`A`, `A_vjp`")


def table(prior):
    """The lines of the table, one for each class of `classes` that CASES says how to build."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deepinv's, of deprecations
        return [str(row(name, prior)) for name in classes() if name in CASES]


def written():
    """The lines of the table as they stand in the page."""
    lines = PAGE.read_text(encoding="utf-8").split(HEAD)[1].splitlines()
    return [line for line in lines if line.startswith("|")]


def rewrite():
    text = PAGE.read_text(encoding="utf-8")
    rest = "\n".join(text.split(HEAD)[1].splitlines()[len(written()) :])
    PAGE.write_text(text.split(HEAD)[0] + HEAD + "\n".join([*table(te.load_prior()), rest]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    rewrite()
