"""What the notebooks write out agrees with the library: their own cells are run here, and compared with what they stand for."""

from pathlib import Path

import nbformat
import pandas as pd
import pytest
import stable_diffusion as sd
import torch

import treg_edu as te

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def lines(notebook, *starts, **names):
    """Run the cells of a notebook in which a line begins with one of `starts`, given the `names` they stand on.  Returns all names."""
    cells = [cell.source for cell in nbformat.read(NOTEBOOKS / f"{notebook}.ipynb", 4).cells if cell.cell_type == "code"]
    space = {"torch": torch, "te": te} | names
    for start in starts:
        (source,) = [source for source in cells if any(line.startswith(start) for line in source.splitlines())]
        exec(compile(source, f"{notebook}: {start}", "exec"), space)
    return space


@pytest.fixture(scope="module")
def x():
    return te.images.examples(2)[0]


@pytest.fixture(scope="module")
def settings(prior):
    """Those of this prior, in fewer steps."""
    return prior.recommended["treg"] | {"steps": 5}


def test_01_the_twin(x):
    instruments = {
        "bicubic ×16": te.operators.SuperResolution(16),
        "blur, σ = 5": te.operators.GaussianBlur(5.0),
        "hidden box": te.operators.Inpainting.box(64, 16, 16, 32, 32),
    }
    written = lines("01_forward_operators", "def twin(", instruments=instruments, x=x[:1], sigma=0.005, pd=pd)["twin"]
    for operator in instruments.values():
        assert torch.equal(written(operator, x[:1], x[1:], 20), te.operators.twin(operator, x[:1], x[1:], iterations=20))


def test_01_the_spectral_formulas_are_the_pseudo_inverse_and_tikhonov(x):
    written = lines("01_forward_operators", "def spectral(", sigma=0.005)
    spectral, S, operator = (written[name] for name in ("spectral", "S", "blur"))
    y = operator.measure(x, 0.005, torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(spectral(y, torch.where(S > 1e-4 * S.max(), 1 / S, 0)), operator.A_dagger(y), rtol=0, atol=1e-8)
    torch.testing.assert_close(spectral(y, S / (S**2 + 1e-3)), operator.prox_l2(0 * y, y, 1e3), rtol=0, atol=1e-8)


def test_01_the_exercises_are_the_library(x):
    """The reader's colour mosaic, Tikhonov by a loop, and the gradient of gamma correction."""
    solved = "solutions/01_forward_operators"
    mosaic = lines(solved, "class ColourMosaic(")["ColourMosaic"]()
    there, back = mosaic.A(x), torch.randn(2, 1, 64, 64)
    torch.testing.assert_close((there * back).sum(), (x * mosaic.A_adjoint(back)).sum(), rtol=1e-4, atol=1e-3)
    operator, c = te.operators.GaussianBlur(1.5), x.flip(0)
    y = operator.A(x)
    found = lines(solved, "def descend(")["descend"](operator, y, c, 0.1, 400)
    library = te.solve("tikhonov", None, operator, y, lam=0.1, centre=c, progress=False)
    torch.testing.assert_close(found.clamp(0, 1), library, rtol=0, atol=1e-4)
    gamma, guess = te.operators.GammaCorrection(2.2), 0.2 + 0.6 * x
    written = lines(solved, "def gamma_gradient(")["gamma_gradient"]
    torch.testing.assert_close(written(guess, y, 2.2), gamma.gradient(guess, y), rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def magnitudes():
    names = {"operator": te.operators.FourierMagnitude(oversampling=2), "phase_retrieval": te.phase_retrieval, "pd": pd}
    return names | {"F": torch.fft.fft2, "F_inverse": torch.fft.ifft2}


def test_02_phases_of_another(x):
    pair = {"fox": x[:1], "berry": x[1:]}
    written = lines("02_phase_retrieval_symmetries", "def with_phases(", F=torch.fft.fft2, F_inverse=torch.fft.ifft2, **pair)["with_phases"]
    torch.testing.assert_close(written(x, x.flip(0)), te.phase_retrieval.with_phases(x, x.flip(0)), rtol=0, atol=1e-4)


def test_02_the_measurement(x, magnitudes):
    written = lines("02_phase_retrieval_symmetries", "def pad(", **magnitudes, fox=x[:1])
    assert torch.equal(written["pad"](x), te.phase_retrieval.pad(x))
    torch.testing.assert_close(written["y_fox"], magnitudes["operator"].A(x[:1]), rtol=0, atol=1e-5)


def test_02_the_symmetries_and_the_best_shift(x, magnitudes):
    canvas = te.phase_retrieval.pad(x[:1].double())
    assert torch.equal(te.phase_retrieval.shift(canvas, 25, 40), canvas.roll((25, 40), (-2, -1)))
    assert torch.equal(te.phase_retrieval.rotate(canvas), canvas.flip((-2, -1)))
    best_shift = lines("solutions/02_phase_retrieval_symmetries", "def best_shift(", **magnitudes)["best_shift"]
    moved = te.phase_retrieval.rotate(canvas).roll((-7, 30), (-2, -1))
    found = te.phase_retrieval.align(moved, canvas, oversampling=1)
    assert found.rotated and best_shift(te.phase_retrieval.rotate(moved), canvas) == (int(found.dy) % 128, int(found.dx) % 128)


def test_02_error_reduction_and_hybrid_input_output(x, magnitudes):
    """Few iterations of HIO, in double precision: it is chaotic."""
    named = magnitudes | {"pad": te.phase_retrieval.pad, "sigma": 0.005}
    written = lines("02_phase_retrieval_symmetries", "def error_reduction(", **named, fox=x[:1])
    operator, y, start = (written[name] for name in ("operator", "y_grey", "start"))
    *_, last = te.phase_retrieval.error_reduction(operator, y, start, iterations=20)
    torch.testing.assert_close(written["estimate"], last, rtol=0, atol=1e-9)

    hio_step = lines("solutions/02_phase_retrieval_symmetries", "def hio_step(")["hio_step"]
    *_, last = te.phase_retrieval.hybrid_input_output(operator, y, start, iterations=5, bounds=(0, torch.inf))
    state = te.phase_retrieval.pad(start)
    support = te.phase_retrieval.pad(torch.ones_like(start)) == 1
    for _ in range(5):
        output = torch.fft.ifft2(y * torch.sgn(torch.fft.fft2(state, norm="ortho")), norm="ortho").real
        state = hio_step(state, output, support, 0.9)
    torch.testing.assert_close(output[..., :64, :64].clamp(min=0), last, rtol=0, atol=1e-9)


def test_02_vectorial_total_variation(x, magnitudes):
    written = lines("02_phase_retrieval_symmetries", "def vectorial_total_variation(", **magnitudes, x=x)
    torch.testing.assert_close(written["vectorial_total_variation"](x), te.phase_retrieval.vectorial_total_variation(x))


def test_03_noise_in_one_jump(prior):
    written = lines("03_ddim", "z0 = prior.encode(", "levels = ", prior=prior, pd=pd)
    z0, eps, noisy = (written[name] for name in ("z0", "eps", "noisy"))
    for t, z_t in noisy.items():
        assert torch.equal(z_t, te.diffusion.add_noise(z0, eps, prior.alpha_bar(t)))
        of_diffusers = prior.scheduler.add_noise(z0, eps, torch.full((len(z0),), t))
        torch.testing.assert_close(z_t, of_diffusers, rtol=0, atol=1e-5)


def test_03_the_exercises_are_the_library(prior):
    solved = "solutions/03_ddim"
    z, noise, fresh = torch.randn(3, 2, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    a, s = prior.alpha_bar(600), torch.tensor(0.3)
    written = lines(solved, "def tweedie(", "def ddim_step(", "def guide(", "def renoise(", "def from_v(")
    assert torch.equal(written["tweedie"](z, noise, a), te.diffusion.tweedie(z, noise, a))
    assert torch.equal(written["ddim_step"](z, noise, a), te.diffusion.ddim_step(z, noise, a))
    assert torch.equal(written["guide"](z, noise, 4.0), te.diffusion.guide(z, noise, 4.0))
    torch.testing.assert_close(written["renoise"](z, noise, fresh, a, 0 * s), te.diffusion.ddim_step(z, noise, a), rtol=0, atol=1e-6)
    z0, epsilon = written["from_v"](z, noise, a)
    torch.testing.assert_close(te.diffusion.add_noise(z0, epsilon, a), z, rtol=0, atol=1e-5)


def test_03_the_score_of_the_world_is_exact(prior):
    """Of one Gaussian, Exercise 2; and its density sums to 1."""
    import math

    written = lines("03_ddim", "spread = ", prior=prior, math=math)
    centre, z = torch.tensor([[0.4]], dtype=torch.float64), torch.linspace(-8, 8, 4001, dtype=torch.float64)[:, None]
    gaussian_noise = lines("solutions/03_ddim", "def gaussian_noise(")["gaussian_noise"]
    expected = gaussian_noise(z, prior.alpha_bar(300).double(), 0.4, written["spread"])
    torch.testing.assert_close(written["mean_noise"](z, 300, centre), expected)
    centres = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    assert abs(written["log_density"](z, 300, centres).exp().sum() * 16 / 4000 - 1) < 1e-6


@pytest.fixture(scope="module")
def noisy(prior):
    """A latent, a text, and the notebook's names for them."""
    start = torch.randn(1, *prior.latent_shape(), generator=torch.Generator().manual_seed(0))
    return {"prior": prior, "start": start, "tomato": prior.embed_text(["tomato"])}


def test_03_ddim_is_the_librarys_and_that_of_diffusers(prior, noisy):
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler.from_config(prior.scheduler.config, prediction_type="epsilon")  # it is handed noise, not v
    scheduler.set_timesteps(10)
    path = lines("03_ddim", "def ddim(", **noisy)["path"]
    library = te.diffusion.sample(prior, "tomato", steps=10, guidance_scale=1.0, seed=0)
    for z_t, z_next, step in zip(path[:-1], path[1:], library, strict=True):
        torch.testing.assert_close(z_next, step.z_next, rtol=0, atol=1e-4)
        noise = prior.predict_noise(z_t, step.t, noisy["tomato"])
        torch.testing.assert_close(z_next, scheduler.step(noise, step.t, z_t).prev_sample, rtol=0, atol=1e-4)


def test_03_inversion(prior, x):
    clean, texts = prior.encode(x), ["lion", "tomato"]
    null, c = prior.embed_text(["", ""]), prior.embed_text(texts)
    climb = lines("03_ddim", "def climb(", prior=prior)["climb"]
    ours = climb(clean, lambda z, t: te.diffusion.guided_noise(prior, z, t, c, null, 1.0), steps=5)
    *_, last = te.diffusion.invert(prior, clean, texts, steps=5)
    torch.testing.assert_close(ours, last.z_next, rtol=0, atol=1e-4)


def test_04_the_autoencoder(prior, x):
    written = lines("04_latent_data_consistency", "scale = ", prior=prior, x=x)
    torch.testing.assert_close(written["z"], prior.encode(x), rtol=0, atol=1e-5)
    torch.testing.assert_close(written["rebuilt"], prior.decode(written["z"]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("iterations", [1, 5])
def test_04_conjugate_gradient(x, iterations):
    operator, lam, x = te.operators.SuperResolution(16), 1e-4, x.double()
    y, start = operator.measure(x, 0.005), x.flip(0)
    inner = te.operators.inner
    written = lines("solutions/04_latent_data_consistency", "def conjugate_gradient(", inner=inner)["conjugate_gradient"]
    found = written(lambda v: operator.A_adjoint(operator.A(v)) + lam * v, operator.A_adjoint(y) + lam * start, start, iterations)
    torch.testing.assert_close(found, te.consistency.pixel_step(operator, y, start, lam, iterations), rtol=0, atol=1e-9)


def test_04_the_exercises_are_the_library(x):
    """The first iteration of conjugate gradient is steepest descent's, and inpainting needs one."""
    operator, lam, x = te.operators.Inpainting.box(64, 16, 16, 32, 32), 0.1, x.double()
    y, start = operator.measure(x, 0.005), x.flip(0)
    solved, mask = "solutions/04_latent_data_consistency", operator.A(torch.ones_like(x))
    steepest = lines(solved, "def steepest_step(", inner=te.operators.inner)["steepest_step"]
    once = te.consistency.pixel_step(operator, y, start, lam, 1)
    found = steepest(lambda v: operator.A_adjoint(operator.A(v)) + lam * v, operator.A_adjoint(y) + lam * start, start)
    torch.testing.assert_close(found, once, rtol=0, atol=1e-9)
    written = lines(solved, "def inpainting_step(")["inpainting_step"](mask, y, start, lam)
    torch.testing.assert_close(written, operator.prox_l2(start, y, 1 / lam), rtol=0, atol=1e-9)


def test_04_the_weight_that_a_guess_deserves():
    """A guess that is off by τ in each pattern calls for σ² / τ²."""
    operator, sigma, tau = te.operators.Inpainting(torch.ones(64, 64)), 0.1, 0.3
    x = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    start = x + tau * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    y = operator.measure(x, sigma, torch.Generator().manual_seed(2))
    weight = lines("solutions/04_latent_data_consistency", "def guess_weight(")["guess_weight"]
    torch.testing.assert_close(
        weight(te.operators.misfit(operator, start, y), 1.0, sigma), torch.full((4,), sigma**2 / tau**2), rtol=0.05, atol=0
    )


@pytest.fixture(scope="module")
def tied(prior, settings):
    """What the loops of notebook 05 stand on."""
    operator = te.operators.SuperResolution(16)
    return {"prior": prior, "operator": operator, "settings": settings | {"negation": None}, "nothing": settings["null_prompt"]}


def test_05_the_loop(tied, x):
    y, settings = tied["operator"].measure(x[:1], 0.005), tied["settings"]
    written = lines("05_text_regularization", "def text_regularized(", **tied)["text_regularized"]
    with torch.no_grad():
        *_, (*_, z) = written(y, ["lion"], settings["guidance_scale"], seed=3)
    x_hat = te.solve("treg", tied["prior"], tied["operator"], y, "lion", seed=3, progress=False, **settings)
    torch.testing.assert_close(tied["prior"].decode(z).clamp(0, 1), x_hat, rtol=0, atol=1e-3)


def test_05_the_readers_loop(tied, x):
    y, settings = tied["operator"].measure(x[:1], 0.005), tied["settings"]
    solved = "solutions/05_text_regularization"
    with torch.no_grad():
        found = lines(solved, "def treg_step(", "def write_it(", **tied, y=y, name="lion")["write_it"](y, "lion", settings["steps"], 3)
    x_hat = te.solve("treg", tied["prior"], tied["operator"], y, "lion", seed=3, progress=False, **settings)
    torch.testing.assert_close(found, x_hat, rtol=0, atol=1e-3)


def test_05_the_steps_of_the_small_example():
    """With all terms each half step is the minimum of J over its half, so that nothing nearby is lower; without them it is not."""
    alternate = lines("05_text_regularization", "def alternate(")["alternate"]
    assert (alternate(3, 1, rounds=20).diff() < 1e-5).all()
    assert (alternate(7, 0, rounds=20).diff() > 1e-3).any()


def test_05_the_exercises_are_the_library(x):
    solved = "solutions/05_text_regularization"
    null, text = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(lines(solved, "def guided(")["guided"](null, text, 3.0), te.diffusion.guide(null, text, 3.0))
    two = lines(solved, "def latent_step_of_two_texts(")["latent_step_of_two_texts"]
    one = te.consistency.latent_step(null, text, torch.tensor(0.3))
    torch.testing.assert_close(two(null, text, text, 0.3, 0.5, 0.2), one)


def test_06_the_closed_form_and_the_answers_are_the_library(prior, x):
    """The reader's Adam on the reader's gradient; the formula; the shares of guidance; the way to the hidden space."""
    solved = "solutions/06_adaptive_negation"
    written = lines(solved, "def loss_and_gradient(", "def adam(", "def extra_guidance(", "def pull_back(")
    empty, f = prior.embed_text(["", ""]), prior.embed_images(x)
    loss, gradient = written["loss_and_gradient"](f, empty)
    torch.testing.assert_close(loss, te.negation.negation_loss(f, empty), rtol=0, atol=1e-5)
    moved, library = written["adam"](lambda c: gradient, empty, 1e-3, 10), te.negation.adaptive_negation(empty, f)
    torch.testing.assert_close(moved, library, rtol=0, atol=1e-4)
    losses = {0: loss, 10: te.negation.negation_loss(f, moved)}
    closed = lines("06_adaptive_negation", "closed = ", empty=empty, f=f, moved=moved, losses=losses)["closed"]
    torch.testing.assert_close(closed, library, rtol=0, atol=1e-3)
    torch.testing.assert_close(written["pull_back"](f, prior.clip.text_projection.weight), prior.to_hidden_space(f), rtol=0, atol=1e-5)
    change, null, text = torch.randn(3, 2, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(written["extra_guidance"](change, null, text), te.negation.extra_guidance(change, null, text))


PIECES = ("def tweedie(", "def pixel_step(", "def treg(", "def descend(")


def test_07_the_pieces(prior, x):
    operator = te.operators.FourierMagnitude(oversampling=2)
    y = operator.measure(x, 0.005)
    written = lines("07_treg", *PIECES)
    assert torch.equal(written["descend"](operator, y, x.flip(0)), te.consistency.pixel_step_nonlinear(operator, y, x.flip(0)))
    box = te.operators.Inpainting.box(64, 16, 16, 32, 32)
    y = box.measure(x, 0.005)
    assert torch.equal(written["pixel_step"](box, y, x.flip(0)), te.consistency.pixel_step(box, y, x.flip(0)))
    empty, f = prior.embed_text(["", ""]), prior.embed_images(x)
    torch.testing.assert_close(written["negate"](empty, f), te.negation.adaptive_negation(empty, f), rtol=0, atol=1e-6)


@pytest.mark.parametrize("rho", [0.0, 2.0])
@pytest.mark.parametrize("operator", [te.operators.Inpainting.box(64, 20, 10, 14, 44), te.operators.FourierMagnitude(oversampling=2)])
def test_07_algorithm_1_number_for_number(prior, x, operator, rho):
    """Off Γ by DDIM, and by the latent-DPS step; the last step is off Γ."""
    y, texts = operator.measure(x, 0.005), ["cat face", "cow face"]
    written = lines("07_treg", *PIECES, prior=prior, nothing="")
    step = written["pixel_step"] if te.operators.is_linear(operator) else written["descend"]
    with torch.no_grad():
        ours = written["treg"](operator, y, texts, 5, 3.0, 2, 0.7, rho, step)
    settings = dict(steps=5, guidance_scale=3.0, every=2, until=0.7, dps_step_size=rho, negation="hidden", null_prompt="")
    assert torch.equal(ours, te.solve("treg", prior, operator, y, texts, progress=False, **settings))


def test_07_the_answers_are_the_library(prior, x):
    """The gradient of the latent-DPS step, through the decoder alone; Γ."""
    written = lines("solutions/07_treg", "def consistency_steps(", "def dps_gradient(")
    chosen = [index for index in range(25) if te.consistency.is_consistency_step(index, 25, 2, 0.85)]
    assert written["consistency_steps"](25, 2, 0.85) == chosen
    operator, z = te.operators.SuperResolution(16), prior.encode(x)
    y = operator.measure(x.flip(0), 0.005)
    ours = written["dps_gradient"](z, prior.decode, operator, y)
    _, library = te.likelihood.through_decoder(prior, z, lambda image: te.likelihood.norm_gradient(operator, image, y))
    torch.testing.assert_close(ours, library, rtol=1e-3, atol=1e-5)


SLOTS = ("def run(", "def fully(", "def ldps(", "def psld(", "def mpgd(", "def through_pixels(")


@pytest.mark.parametrize(
    "data_step, solver, own",
    [
        ("ldps", "ldps", {"step_size": 16.0}),
        ("psld", "psld", {"step_size": 4.0, "gluing": 0.5, "back": "pseudo-inverse"}),
        ("mpgd", "mpgd", {"step_size": 32.0, "eta": 0.0}),
        ("through_pixels", "treg", {"every": 1, "until": 1.0, "negation": None, "null_prompt": ""}),
    ],
)
def test_08_the_slots_are_the_solvers(prior64, x, data_step, solver, own):
    """The networks in double precision, as a gradient through them magnifies rounding; the notebook's noise is in single."""
    operator = te.operators.SuperResolution(16)
    y, texts = operator.measure(x.double(), 0.005, te.noise.generators(3, 2)), ["cat face", "cow face"]
    written = lines("08_the_other_solvers", *SLOTS, prior=prior64, operator=operator, y=y, labels=texts, steps=2, omega=2.5)
    weight, renoise = ("as_noise_falls", "partly") if solver == "treg" else ("fully", "ddim")
    ours = written["run"](written[data_step], written[weight], written[renoise], y, texts)
    theirs = te.solve(solver, prior64, operator, y, texts, steps=2, guidance_scale=2.5, progress=False, **own)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def loop_10(prior64, x):
    """The loop of notebook 10 and the names that it stands on, for few steps in double precision."""
    operator = te.operators.SuperResolution(16)
    y = operator.measure(x.double(), 0.005, te.noise.generators(3, 2))
    names = {
        "prior": prior64,
        "steps": 4,
        "omega": 2.5,
        "sigma": 0.005,
        "super_resolution": operator,
        "phase_retrieval": te.phase_retrieval,
    }
    names |= {"ode": te.solvers.ode, "misfit": lambda x_hat, y, operator=operator: te.operators.misfit(operator, x_hat, y) / 0.005}
    return lines("10_after_treg", "def run(", "def all_kept(", "def falling(", **names) | {"y": y, "texts": ["cat face", "cow face"]}


@pytest.mark.parametrize("guidance", ["cfg", "cfg++"])
@pytest.mark.parametrize("nonlinear", [False, True])
def test_10_the_loop_is_treg(prior64, x, loop_10, guidance, nonlinear):
    operator = te.operators.FourierMagnitude(2) if nonlinear else loop_10["super_resolution"]
    y, texts = operator.measure(x.double(), 0.005, te.noise.generators(3, 2)), loop_10["texts"]
    ours = loop_10["picture"](loop_10["run"](operator, y, prior64.embed_text(texts), guidance=guidance, omega=0.7))
    own = {"guidance_scale": 0.7, "guidance": guidance, "every": 1, "until": 1.0, "negation": None, "null_prompt": ""}
    theirs = te.solve("treg", prior64, operator, y, texts, steps=4, progress=False, **own)
    tolerance = 5e-4 if nonlinear else 1e-6  # the notebook's noise is in single precision, and a line search is chaotic
    torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance)


def test_10_the_slots_are_those_of_the_papers(loop_10):
    z, eps, fresh, a = *torch.randn(3, 1, 4, 8, 8, dtype=torch.float64), torch.tensor(0.3, dtype=torch.float64)
    from treg_edu.solvers.flowdps import flow_time

    assert torch.equal(loop_10["all_kept"](z, eps, fresh, a), te.diffusion.ddim_step(z, eps, a))
    assert torch.equal(loop_10["none_kept"](z, eps, fresh, a), te.diffusion.add_noise(z, fresh, a))
    assert torch.equal(loop_10["falling"](a), flow_time(a)) and loop_10["fully"](a) == 1 and loop_10["rising"](a) == a


def test_10_a_step_of_cfgpp_is_one_of_cfg_with_another_scale(prior64):
    written = lines("10_after_treg", "def cfgpp(", "def sigma_of(", prior=prior64)
    c, null = prior64.embed_text(["tomato"]), prior64.embed_text([""])
    library = list(te.diffusion.sample(prior64, "tomato", steps=5, guidance_scale=0.6, seed=3, guidance="cfg++"))
    z_t = library[0].z_t
    for step, (t, t_prev), omega in zip(library, prior64.timesteps(5), written["same_cfg"](0.6, 5), strict=True):
        eps = te.diffusion.guided_noise(prior64, z_t, t, c, null, omega)
        by_cfg = te.diffusion.ddim_step(te.diffusion.tweedie(z_t, eps, prior64.alpha_bar(t)), eps, prior64.alpha_bar(t_prev))
        z0, z_t = written["cfgpp"](z_t, t, t_prev, c, null, 0.6)
        torch.testing.assert_close(z0, step.z0, rtol=0, atol=1e-6)
        torch.testing.assert_close(z_t, step.z_next, rtol=0, atol=1e-6)
        torch.testing.assert_close(by_cfg, step.z_next, rtol=0, atol=1e-6)


def test_10_latino(prior64, loop_10):
    written = lines("10_after_treg", "def latino(", **{name: value for name, value in loop_10.items() if name != "__builtins__"})
    y, texts = loop_10["y"], loop_10["texts"]
    ours = written["latino"](y, prior64.embed_text(texts), levels=3, inner=2)
    own = {"steps": 3, "inner_steps": 2, "sigma": 0.005, "guidance_scale": 2.5}
    theirs = te.solve("latino", prior64, loop_10["super_resolution"], y, texts, progress=False, **own)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def world_10():
    """A Gaussian world in which a text is a mean, and the lines of notebook 10 on texts in it."""
    means = {"red": torch.tensor([0.8, -0.3, 0.1]).view(3, 1, 1), "blue": torch.tensor([-0.4, 0.0, 0.9]).view(3, 1, 1)}
    covariance = torch.tensor([[0.16, 0.04, 0.02], [0.04, 0.09, 0.02], [0.02, 0.02, 0.09]], dtype=torch.float64)
    world = te.priors.GaussianPrior(covariance, means, size=1)
    names = {"prior": world, "steps": 20, "omega": 1.0, "super_resolution": None}
    return world, lines("10_after_treg", "def run(", "def surprise(", "def write_text(", **names)


def test_10_surprises_differ_by_the_ratio_of_densities(world_10):
    world, written = world_10
    z, levels = torch.tensor([0.5, 0.1, 0.2], dtype=torch.float64).view(1, 3, 1, 1), list(range(999, -1, -2))
    exact = [torch.distributions.MultivariateNormal(world.mean(text).flatten(), world.covariance) for text in ("red", "blue")]
    ratio = exact[0].log_prob(z.flatten()) - exact[1].log_prob(z.flatten())
    many, draws = z.expand(400, -1, -1, -1), 400
    found = [written["surprise"](many, world.embed_text([text] * draws), levels).mean() for text in ("red", "blue")]
    assert ratio.abs() > 1 and abs(found[1] - found[0] - ratio) < 0.05 * ratio.abs()


def test_10_the_written_text_has_more_evidence(world_10):
    world, written = world_10

    class Mean(te.operators.LinearOperator):
        def A(self, x):
            return (x[:, :1] + x[:, 1:2]) / 2

        def A_adjoint(self, y):
            return torch.cat([y / 2, y / 2, torch.zeros_like(y)], 1)

    y, a = torch.tensor([0.8], dtype=torch.float64).view(1, 1, 1, 1), torch.tensor([0.25, 0.25, 0.0], dtype=torch.float64)

    def log_evidence(c):  # y = a·z₀ + ½ + n, as a picture is (z₀ + 1) / 2
        return torch.distributions.Normal(a @ c.flatten() + 0.5, (a @ world.covariance @ a + 1e-4).sqrt()).log_prob(y.flatten()).item()

    many, start = y.expand(200, -1, -1, -1), world.embed_text([""] * 200)
    walk = [written["write_text"](many, start, Mean(), rounds=rounds, rate=0.05, radius=10.0).mean(0) for rounds in (0, 2, 4)]
    assert log_evidence(walk[0]) < log_evidence(walk[1]) < log_evidence(walk[2])


def test_11_the_cells_run_on_a_checkpoint_in_the_shape_of_stable_diffusion(x, prior, tmp_path, monkeypatch):
    """`MODEL` and `FOLDER` are all that is told: an untrained SD 1.5, narrow, and photographs; in two steps, on the CPU."""
    sd.pipeline_of(sd.networks(prior.tokenizer)).save_pretrained(tmp_path / "model")
    for i in range(8):
        (tmp_path / "photographs" / f"thing_{i}").mkdir(parents=True)
        te.images.save(x[i % 2][None], tmp_path / "photographs" / f"thing_{i}" / "1.png")
    monkeypatch.setenv("TREG_EDU_MODEL", str(tmp_path / "model"))
    monkeypatch.setenv("TREG_EDU_FOLDER", str(tmp_path / "photographs"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    whole = te.solve
    monkeypatch.setattr(te, "solve", lambda *arguments, **settings: whole(*arguments, **settings | {"steps": 2}))
    written = lines("11_stable_diffusion", "MODEL =", "sigma, size =", "treg =")
    assert written["treg"] == {} and written["prior"].tokenizer.model_max_length == 77 and written["labels"][0].startswith("thing ")
    names = {name: value for name, value in written.items() if name != "__builtins__"} | {"treg": {"steps": 2}}
    shown = ("for library in", "both =", "found = {", "def graded", 'found["negation off"]', "def features")
    written = lines("11_stable_diffusion", *shown, **names)
    torch.testing.assert_close(written["both"]["te.solve"], written["both"]["TRegPipeline"], atol=1e-4, rtol=0)
    assert written["psld"] == {"guidance_scale": 5.0} and all(len(each) == 8 for each in written["parts"].values())


@pytest.fixture(scope="module")
def lines_12():
    """What the notebook writes out of the trainings, on a corpus of few drawings."""
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from torch import nn

    from treg_edu.training import shapes, toy, unet, vae

    x, _ = toy.read(shapes.build(2, 0), "train")
    of_diffusers = {each.__name__: each for each in (AutoencoderKL, DDIMScheduler, UNet2DConditionModel)}
    return {"nn": nn, "toy": toy, "unet": unet, "vae": vae, "x": x} | of_diffusers


def test_12_the_losses_are_those_of_the_library(lines_12):
    toy, unet, vae = lines_12["toy"], lines_12["unet"], lines_12["vae"]
    written = lines("12_train_the_prior", "class Reconstruction(", "class Denoising(", **lines_12)
    torch.manual_seed(0)
    autoencoder, network = lines_12["AutoencoderKL"](**toy.AUTOENCODER), lines_12["UNet2DConditionModel"](**toy.DENOISER)
    pictures = 2 * lines_12["x"][:4] - 1
    torch.manual_seed(1)
    ours = written["Reconstruction"](autoencoder)(pictures)
    torch.manual_seed(1)
    torch.testing.assert_close(ours, vae.Loss(autoencoder)(pictures))
    z0, noise, c = torch.randn(4, 4, 8, 8), torch.randn(4, 4, 8, 8), torch.randn(4, toy.TOKENS, toy.WIDTH)
    t = torch.tensor([0, 300, 700, 999])
    library = unet.Loss(network, written["scheduler"].alphas_cumprod)
    torch.testing.assert_close(written["Denoising"](network)(z0, noise, t, c), library(z0, noise, t, c))


def test_12_the_solutions_are_what_the_library_does(lines_12):
    solved = "solutions/12_train_the_prior"
    toy, vae = lines_12["toy"], lines_12["vae"]
    torch.manual_seed(0)
    autoencoder = lines_12["AutoencoderKL"](**toy.AUTOENCODER)
    z = toy.latents(autoencoder, lines_12["x"])
    vae.standardise(autoencoder, lines_12["x"])
    by_hand = lines(solved, "def standardised(")["standardised"](z)
    torch.testing.assert_close(by_hand, toy.latents(autoencoder, lines_12["x"]), rtol=0, atol=2e-3)
