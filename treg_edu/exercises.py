"""Checks that tell a reader whether their own function is right, and if it is not, why, in one sentence.

    def tweedie(z_t, noise, alpha_bar):
        return ...                          # yours to fill

    te.exercises.check_tweedie(tweedie)     # "not attempted yet"

One function an exercise, grouped by notebook. Each calls the reader's function on cases that the notebook does not show and prints a
verdict: "not attempted yet", "right", or "not yet: …" with the case, what was expected and what was found. None of them raises.
"""

import math
import numbers

import torch


def verdict(attempt, cases, hint="", tolerance=1e-4):
    """Print what became of `attempt` on `cases`: (what the case is, arguments, expected result), …

    Expected results are tensors, numbers, strings, or tuples of them; floating-point values may be off by `tolerance`, absolute.
    The first case that fails is the one reported; the hint is printed with it.
    """
    print(_verdict(attempt, cases, hint, tolerance))


def _verdict(attempt, cases, hint, tolerance):
    if not callable(attempt):
        return f"not yet: expected a function, found {type(attempt).__name__}"
    ending = f". {hint}" if hint else ""
    for case, arguments, expected in cases:
        try:
            found = attempt(*(each.clone() if isinstance(each, torch.Tensor) else each for each in arguments))
        except NotImplementedError:
            return "not attempted yet"
        except Exception as error:  # a reader's mistake of any kind is news for the reader, not a traceback
            return f"not yet: for {case}, it raised {type(error).__name__}: {error}{ending}"
        if found is ...:
            return "not attempted yet"
        if found is None:
            return f"not yet: for {case}, it returned None; is the return missing?"
        if wrong := difference(found, expected, tolerance):
            return f"not yet: for {case}, {wrong}{ending}"
    return "right"


def difference(found, expected, tolerance):
    """What tells `found` from `expected`, as half a sentence; an empty string if nothing does."""
    if isinstance(expected, (tuple, list)):
        return _difference_of_tuples(found, expected, tolerance)
    if isinstance(expected, torch.Tensor):
        return _difference_of_tensors(found, expected, tolerance)
    if isinstance(found, torch.Tensor) and found.numel() == 1:
        found = found.item()
    if isinstance(expected, (bool, str)) or not isinstance(expected, numbers.Real):
        same = type(found) is type(expected) and found == expected
    else:
        same = (
            isinstance(found, numbers.Real) and not isinstance(found, bool) and math.isclose(found, expected, rel_tol=0, abs_tol=tolerance)
        )
    return "" if same else f"expected {_short(expected)}, found {_short(found)}"


def _difference_of_tuples(found, expected, tolerance):
    if not isinstance(found, (tuple, list)) or len(found) != len(expected):
        came = f"{len(found)} of them" if isinstance(found, (tuple, list)) else type(found).__name__
        return f"expected {len(expected)} results, found {came}"
    for place, (one, other) in enumerate(zip(found, expected), 1):
        if wrong := difference(one, other, tolerance):
            return f"in result {place} of {len(expected)} {wrong}"
    return ""


def _difference_of_tensors(found, expected, tolerance):
    if not isinstance(found, torch.Tensor):
        return f"expected a tensor of shape {tuple(expected.shape)}, found {type(found).__name__}"
    if found.shape != expected.shape:
        return f"expected shape {tuple(expected.shape)}, found {tuple(found.shape)}"
    if expected.dtype == torch.bool or found.dtype == torch.bool or found.is_complex() != expected.is_complex():
        if found.dtype != expected.dtype:
            return f"expected dtype {expected.dtype}, found {found.dtype}"
    found, expected = (each.detach().cpu().to(torch.complex128 if each.is_complex() else torch.float64) for each in (found, expected))
    off = torch.where(found == expected, 0, (found - expected).abs()).nan_to_num(math.inf)
    if off.numel() == 0 or off.max() <= tolerance:
        return ""
    worst = tuple(int(i) for i in torch.unravel_index(off.argmax(), off.shape))
    where = f"at index {worst} " if worst else ""
    return f"{where}expected {_short(expected[worst].item())}, found {_short(found[worst].item())}"


def _short(value):
    return f"{value:.4g}" if isinstance(value, (float, complex)) else repr(value)


def _random(*shape, seed=0):
    """Numbers in [0, 1) that no reader has seen."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(8_000 + seed))


def _normal(*shape, seed=0):
    """Standard normal numbers that no reader has seen."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(9_000 + seed))


# 01_forward_operators


def check_block_mean_adjoint(attempt):
    """attempt(y, f) → Aᵀy, (B, C, f H, f W), where A takes the means of f×f blocks and y is (B, C, H, W)."""
    cases = []
    for i, (f, shape) in enumerate([(2, (1, 3, 4, 4)), (3, (2, 1, 2, 5)), (1, (1, 2, 3, 3))]):
        y = _normal(*shape, seed=100 + i)
        cases.append((f"f = {f} and y of shape {shape}", (y, f), y.repeat_interleave(f, -1).repeat_interleave(f, -2) / f**2))
    hint = "what stands in row i, column j of the matrix of A? Its transpose spreads each number of y over a block with the same weights"
    verdict(attempt, cases, hint)


def check_split(attempt):
    """attempt(M, x) → (seen, unseen), both (n,): x = seen + unseen, M unseen = 0, seen ⟂ unseen.  M: (m, n).  x: (n,)."""
    cases = []
    for i, (what, M) in enumerate(
        [
            ("a 3×6 matrix", _normal(3, 6, seed=110)),
            ("a 6×6 matrix of rank 2", _normal(6, 2, seed=111) @ _normal(2, 6, seed=112)),
            ("an invertible matrix", torch.eye(4) + 0.1 * _normal(4, 4, seed=113)),
        ]
    ):
        x = _normal(M.shape[1], seed=114 + i)
        seen = (torch.linalg.pinv(M.double(), rtol=1e-4) @ M.double() @ x.double()).float()
        cases.append((what, (M, x), (seen, x - seen)))
    hint = "seen is A†A x: a projection, so doing it twice changes nothing; singular values below 1e-4 of the largest count as zero"
    verdict(attempt, cases, hint, tolerance=1e-3)


def check_least_squares_near(attempt):
    """attempt(M, y, lam, z) → argmin_x ‖M x − y‖² + λ ‖x − z‖², (n,).  M: (m, n).  y: (m,).  z: (n,)."""
    cases = []
    for i, (m, n, lam) in enumerate([(6, 4, 1.0), (3, 5, 0.1), (3, 5, 10.0)]):
        M, y, z = _normal(m, n, seed=120 + i), _normal(m, seed=130 + i), _normal(n, seed=140 + i)
        x = torch.linalg.solve(M.T @ M + lam * torch.eye(n), M.T @ y + lam * z)
        cases.append((f"M of shape {(m, n)} and λ = {lam:g}", (M, y, lam, z), x))
    verdict(attempt, cases, "set the gradient of the objective, 2 Mᵀ(M x − y) + 2 λ (x − z), to zero and solve for x", tolerance=1e-3)


def check_gamma_gradient(attempt):
    """attempt(x, y, gamma) → ∇ₓ ½‖x^γ − y‖², the shape of x."""
    cases = []
    for i, gamma in enumerate([2.2, 0.45, 1.0]):
        x, y = 0.1 + 0.8 * _random(2, 3, 4, 4, seed=150 + i), _random(2, 3, 4, 4, seed=160 + i)
        cases.append((f"γ = {gamma}", (x, y, gamma), gamma * x ** (gamma - 1) * (x**gamma - y)))
    verdict(attempt, cases, "the chain rule: the residual A(x) − y, times the slope of the curve at x, pixel by pixel")


# 02_phase_retrieval_symmetries


def check_conjugate_flip(attempt):
    """attempt(x) → x(−r) on the canvas, (B, C, H, W): pixel (i, j) goes to (−i, −j), modulo the sides."""
    shapes = [(1, 1, 4, 4), (2, 3, 5, 6)]
    cases = [(f"a canvas of shape {shape}", _random(*shape, seed=50 + i)) for i, shape in enumerate(shapes)]
    hint = "row 0 stays where it is, row 1 goes to the last one; columns likewise"
    verdict(attempt, [(case, (x,), x[..., -torch.arange(x.shape[2]), :][..., -torch.arange(x.shape[3])]) for case, x in cases], hint)


def check_distinct_magnitudes(attempt):
    """attempt(H, W) → how many different numbers |F x| has at most for real x on a canvas of H×W pixels."""
    cases = []
    for H, W in [(8, 8), (128, 128), (5, 7), (4, 9), (9, 4)]:
        pairs = {min((i, j), (-i % H, -j % W)) for i in range(H) for j in range(W)}
        cases.append((f"{H}×{W} pixels", (H, W), len(pairs)))
    verdict(attempt, cases, "|F x| is the same at k and at −k: count the pairs, and the frequencies for which these are one and the same")


def check_turned_error(attempt):
    """attempt(x_hat, x) → (B,): RMS of x̂ − x over an image, each channel turned by 180° where that brings it closer."""
    x = _random(2, 3, 4, 5, seed=60)
    turned = x.flip((-2, -1))
    mixed = torch.stack([x[:, 0], turned[:, 1], 0.9 * turned[:, 2]], dim=1)
    other = _random(2, 3, 4, 5, seed=61)
    cases = []
    for case, x_hat in (("x̂ = x turned", turned), ("channels turned apart", mixed), ("an x̂ that is neither", other)):
        squares = torch.stack([(each - x).square().mean((2, 3)) for each in (x_hat, x_hat.flip((-2, -1)))])
        cases.append((case, (x_hat, x), squares.amin(0).mean(1).sqrt()))
    hint = "decide for each channel by its own mean square, then take the mean over channels, and the root last"
    verdict(attempt, cases, hint)


def check_hio_step(attempt):
    """attempt(x, output, support, beta) → Fienup's next input, for bounds (0, ∞).  support: bool, all of the shape of x."""
    cases = []
    for i, (case, low, beta) in enumerate(
        [("an output that is nowhere negative", 0.0, 0.9), ("an output with negative pixels", 0.5, 0.9), ("beta = 0.5", 0.5, 0.5)]
    ):
        x, output = _random(1, 1, 6, 6, seed=70 + i), _random(1, 1, 6, 6, seed=80 + i) - low
        support = torch.zeros(1, 1, 6, 6, dtype=torch.bool)
        support[..., :3, :3] = True
        cases.append((case, (x, output, support, beta), torch.where(support & (output >= 0), output, x - beta * output)))
    hint = "a pixel obeys where it is in the support and not negative; elsewhere the old input is moved against the output"
    verdict(attempt, cases, hint)


# 03_ddim


def check_gaussian_noise(attempt):
    """attempt(z_t, alpha_bar, mean, deviation) → E[ε | z_t] for z₀ ~ N(mean, deviation²), the shape of z_t."""

    def noise(z_t, alpha_bar, mean, deviation):
        return (1 - alpha_bar).sqrt() * (z_t - alpha_bar.sqrt() * mean) / (alpha_bar * deviation**2 + 1 - alpha_bar)

    cases = [
        (f"ᾱ = {a}, mean {mean}, deviation {deviation}", (_normal(2, 4, 3, 3, seed=i), torch.tensor(a), mean, deviation))
        for i, (a, mean, deviation) in enumerate([(0.6, 0.0, 1.0), (0.6, 2.0, 1.0), (0.3, -1.0, 0.5)])
    ]
    hint = "z_t is Gaussian: write its mean and variance, take the score, and multiply by −√(1 − ᾱ)"
    verdict(attempt, [(case, arguments, noise(*arguments)) for case, arguments in cases], hint)


def check_rescaled_score(attempt):
    """attempt(score_of_x, z_t, alpha_bar) → the score of z_t = √ᾱ x, where score_of_x(x, sigma) is that of x = z₀ + σ ε."""

    def gaussian(mean, deviation):
        return lambda x, sigma: (mean - x) / (deviation**2 + sigma**2)

    z_t, cases = _normal(2, 4, 3, 3, seed=10), []
    for a, mean, deviation in [(0.7, 0.0, 1.0), (0.2, 3.0, 0.5)]:
        alpha_bar = torch.tensor(a)
        expected = (alpha_bar.sqrt() * mean - z_t) / (alpha_bar * deviation**2 + 1 - alpha_bar)
        arguments = (gaussian(mean, deviation), z_t, alpha_bar)
        cases.append((f"ᾱ = {a} and z₀ ~ N({mean:g}, {deviation:g}²)", arguments, expected))
    hint = "three things change with the scale: the point, the level σ = √((1 − ᾱ) / ᾱ), and the slope, by the chain rule"
    verdict(attempt, cases, hint)


def check_from_v(attempt):
    """attempt(z_t, v, alpha_bar) → (ẑ₀, ε̂) where v = √ᾱ ε̂ − √(1 − ᾱ) ẑ₀."""
    cases = []
    for i, a in enumerate([0.9, 0.2]):
        alpha_bar, z0, noise = torch.tensor(a), _normal(2, 4, 3, 3, seed=20 + i), _normal(2, 4, 3, 3, seed=30 + i)
        z_t = alpha_bar.sqrt() * z0 + (1 - alpha_bar).sqrt() * noise
        v = alpha_bar.sqrt() * noise - (1 - alpha_bar).sqrt() * z0
        cases.append((f"ᾱ = {a}", (z_t, v, alpha_bar), (z0, noise)))
    verdict(attempt, cases, "z_t and v are two equations for the two unknowns; the matrix is a rotation, so its inverse is its transpose")


def check_renoise(attempt):
    """attempt(z0, noise, fresh, alpha_bar, s) → √ᾱ ẑ₀ + √(1 − ᾱ − s²) ε̂ + s n, with n = fresh."""
    z0, noise, fresh = (_normal(2, 4, 3, 3, seed=40 + i) for i in range(3))
    cases = []
    for a, s in [(0.8, 0.0), (0.8, 0.3), (0.3, 0.8)]:
        alpha_bar, s = torch.tensor(a), torch.tensor(s)
        expected = alpha_bar.sqrt() * z0 + (1 - alpha_bar - s**2).sqrt() * noise + s * fresh
        cases.append((f"ᾱ = {a} and s = {s:.1f}", (z0, noise, fresh, alpha_bar, s), expected))
    verdict(attempt, cases, "the variances of the two noises, not their deviations, must add up to 1 − ᾱ")


# 04_latent_data_consistency


def check_inpainting_step(attempt):
    """attempt(mask, y, x, lam) → argmin_u ‖y − m ∘ u‖² + λ ‖u − x‖².  mask: 0 or 1, y, x: all of one shape.  lam: a number above 0."""
    cases = []
    for i, lam in enumerate([1e-4, 0.5, 3.0]):
        mask = (_random(2, 3, 4, 4, seed=400 + i) > 0.4).float()
        y, x = mask * _random(2, 3, 4, 4, seed=410 + i), _random(2, 3, 4, 4, seed=420 + i)
        cases.append((f"λ = {lam:g}", (mask, y, x, lam), torch.where(mask == 1, (y + lam * x) / (1 + lam), x)))
    verdict(attempt, cases, "AᵀA is the mask, so each pixel has its own equation, (m + λ) u = m y + λ x", tolerance=1e-5)


def check_steepest_step(attempt):
    """attempt(matvec, b, x) → x + α r, r = b − M x, α = ⟨r, r⟩ / ⟨r, M r⟩, each sample with its own α.  b, x: (B, C, H, W)."""
    cases = []
    for i, lam in enumerate([1.0, 0.01]):
        weight, b, x = 2 * _random(1, 1, 4, 4, seed=430 + i), _normal(3, 2, 4, 4, seed=440 + i), _normal(3, 2, 4, 4, seed=450 + i)

        def matvec(u, weight=weight, lam=lam):
            return weight * u + lam * u

        r = b - matvec(x)
        alpha = (r * r).sum((1, 2, 3), keepdim=True) / (r * matvec(r)).sum((1, 2, 3), keepdim=True)
        cases.append((f"a diagonal M and {'a batch of 3' if i else 'λ = 1'}", (matvec, b, x), x + alpha * r))
    verdict(
        attempt, cases, "the step along the residual that ends where the slope along it is zero; the sums run over each sample alone", 1e-3
    )


def check_noise_gain(attempt):
    """attempt(s, lam) → (the factor by which noise in a direction of singular value s enters x̂, the largest factor for any s)."""
    cases = []
    for i, lam in enumerate([0.25, 1e-2, 4.0]):
        s = 2 * _random(6, seed=460 + i)
        cases.append((f"λ = {lam:g}", (s, lam), (s / (s**2 + lam), 0.5 / lam**0.5)))
    verdict(
        attempt,
        cases,
        "in the basis of the singular vectors (s² + λ) x̂ = s y + λ x; y carries the noise. Then set the derivative by s to zero",
    )


# 05_text_regularization


def check_exact_pixel_step(attempt):
    """attempt(A, y, x, lam) → argmin_u ‖y − A u‖² + λ ‖u − x‖².  A: (m, n).  y: (m,).  x: (n,).  lam: a number above 0."""
    cases = []
    for i, (case, m, n, lam) in enumerate([("fewer measurements than unknowns", 3, 7, 0.1), ("as many", 4, 4, 2.0), ("more", 6, 3, 0.01)]):
        A, y, x = _normal(m, n, seed=50 + i), _normal(m, seed=60 + i), _normal(n, seed=70 + i)
        stacked = torch.cat([A, lam**0.5 * torch.eye(n)]), torch.cat([y, lam**0.5 * x])
        cases.append((f"{case}, λ = {lam}", (A, y, x, lam), torch.linalg.lstsq(*stacked).solution))
    verdict(attempt, cases, "set the gradient to zero: (AᵀA + λI) u = Aᵀy + λx, a linear system for u", tolerance=1e-3)


def check_latent_step_of_two_texts(attempt):
    """attempt(z_y, z_1, z_2, zeta, gamma_1, gamma_2) → argmin_z ζ‖z − z_y‖² + γ₁‖z − z_1‖² + γ₂‖z − z_2‖²."""
    cases = []
    for i, weights in enumerate([(1.0, 1.0, 1.0), (0.5, 2.0, 1.5), (3.0, 1.0, 0.0)]):
        latents = [_normal(2, 4, 3, 3, seed=80 + 3 * i + k) for k in range(3)]
        expected = sum(w * z for w, z in zip(weights, latents)) / sum(weights)
        cases.append((f"ζ, γ₁, γ₂ = {weights}", (*latents, *weights), expected))
    verdict(
        attempt,
        cases,
        "the gradient is a weighted sum of three differences; where it vanishes, z is a weighted mean, and its weights sum to 1",
    )


def check_treg_step(attempt):
    """attempt(z_t, noise, fresh, alpha_bar, alpha_bar_prev, correct) → z_{t−1} of a consistency step, where correct(ẑ₀) is E(x̂)."""

    def correct(z0):
        return 0.5 * z0 + 1

    cases = []
    for i, (a, b) in enumerate([(0.05, 0.2), (0.5, 0.9), (0.9, 1.0)]):
        z_t, noise, fresh = (_normal(2, 4, 3, 3, seed=100 + 3 * i + k) for k in range(3))
        a, b = torch.tensor(a), torch.tensor(b)
        z0 = (z_t - (1 - a).sqrt() * noise) / a.sqrt()
        z = b * correct(z0) + (1 - b) * z0
        expected = b.sqrt() * z + (1 - b).sqrt() * ((1 - b).sqrt() * noise + b.sqrt() * fresh)
        cases.append((f"ᾱ_t = {a:.2f}, ᾱ_(t−1) = {b:.2f}", (z_t, noise, fresh, a, b, correct), expected))
    verdict(attempt, cases, "Tweedie at ᾱ_t; then correct ẑ₀, mix the two and renew the noise, all three with ᾱ_(t−1)", tolerance=1e-3)


def check_decided_by_text(attempt):
    """attempt(x_hats) → the share of the pixel variance that lies between texts.  x_hats: (K, S, 3, H, W), K texts, S seeds."""

    def share(x_hats):
        everything, own = x_hats.mean((0, 1)), x_hats.mean(1)
        return float((own - everything).square().mean() / (x_hats - everything).square().mean())

    cases = [
        ("texts that decide all", _random(3, 1, 3, 4, 4, seed=90).expand(3, 5, 3, 4, 4)),
        ("texts that decide nothing", _random(1, 5, 3, 4, 4, seed=91).expand(3, 5, 3, 4, 4)),
        ("2 texts, 3 seeds", _random(2, 3, 3, 4, 4, seed=92)),
        ("4 texts, 2 seeds", _random(4, 2, 3, 4, 4, seed=93) + _random(4, 1, 3, 4, 4, seed=94)),
    ]
    hint = "how far the mean of each text lies from the mean of all, squared and averaged, over how far the pictures do; both averages divide by N"
    verdict(attempt, [(case, (x_hats,), share(x_hats)) for case, x_hats in cases], hint)


# 06_adaptive_negation


def check_negation_loss(attempt):
    """attempt(feature, null) → (sim (B,), its gradient by null (B, L, d)).  feature: (B, d).  null: (B, L, d)."""
    cases = []
    for i, (B, L, d) in enumerate([(1, 4, 6), (3, 2, 5), (2, 1, 3)]):
        feature, null = 3 * _normal(B, d, seed=600 + i), _normal(B, L, d, seed=610 + i)
        unit = feature / feature.norm(dim=1, keepdim=True)
        expected = (null * unit[:, None]).sum((1, 2)) / L, (unit[:, None] / L).repeat(1, L, 1)
        cases.append((f"B, L, d = {B, L, d}", (feature, null), expected))
    hint = "the feature is divided by its length, c_∅ is not; each of the L tokens has its share 1/L of the mean, and of the gradient"
    verdict(attempt, cases, hint)


def check_adam(attempt):
    """attempt(gradient, c, rate, iterations) → c after Adam with β = (0.9, 0.999) and ε = 1e-8, where gradient(c) has the shape of c."""
    direction = _normal(2, 3, 4, seed=620) + 0.1
    centre = _normal(2, 3, 4, seed=621)
    cases = []
    for case, gradient, rate, iterations in [
        ("a gradient that never changes, 1 iteration", lambda c: direction, 1e-2, 1),
        ("a gradient that never changes, 10 iterations", lambda c: direction, 1e-2, 10),
        ("a parabola, 20 iterations", lambda c: 2 * (c - centre), 0.1, 20),
    ]:
        start = _normal(2, 3, 4, seed=622)
        c = start.clone()
        optimizer = torch.optim.Adam([c], rate)
        for _ in range(iterations):
            c.grad = gradient(c)
            optimizer.step()
        cases.append((case, (gradient, start, rate, iterations), c))
    hint = "m and v start at 0, so in iteration k they are divided by 1 − β₁ᵏ and 1 − β₂ᵏ, k from 1; the root is of the corrected v"
    verdict(attempt, cases, hint, tolerance=1e-3)


def check_pull_back(attempt):
    """attempt(feature, P) → g (B, d) with ⟨g, c⟩ = ⟨f/‖f‖, P c⟩ for every c in R^d.  feature: (B, p).  P: (p, d)."""
    cases = []
    for i, (B, p, d) in enumerate([(1, 3, 5), (3, 6, 4), (2, 4, 4)]):
        feature, P = 2 * _normal(B, p, seed=630 + i), _normal(p, d, seed=640 + i)
        cases.append((f"B, p, d = {B, p, d}", (feature, P), torch.einsum("bp,pd->bd", feature / feature.norm(dim=1, keepdim=True), P)))
    verdict(
        attempt, cases, "⟨f, P c⟩ = ⟨Pᵀ f, c⟩; the length is taken of f, before the matrix, and the rows of a batch stand on the left of P"
    )


def check_shortest_move(attempt):
    """attempt(null, feature, drop) → the c_∅ nearest to null, in ‖·‖ over all numbers, whose sim is lower by drop.  null: (B, L, d)."""
    cases = []
    for i, (B, L, d, drop) in enumerate([(1, 4, 6, 0.5), (3, 2, 5, 0.1), (2, 3, 4, 1.0)]):
        feature, null = 2 * _normal(B, d, seed=650 + i), _normal(B, L, d, seed=660 + i)
        unit = feature / feature.norm(dim=1, keepdim=True)
        cases.append((f"L = {L} and a drop of {drop}", (null, feature, drop), null - drop * unit[:, None]))
    hint = "go against the gradient itself, not its sign: every token by the same vector; then choose the length so that the mean falls by drop"
    verdict(attempt, cases, hint)


# 07_treg


def check_consistency_steps(attempt):
    """attempt(steps, every, until) → Γ, the list of indices 0 … steps − 1 at which measurement and text are reconciled."""
    cases = []
    for steps, every, until in [(200, 3, 0.85), (25, 2, 1.0), (7, 3, 0.5), (10, 1, 0.0), (20, 4, 0.6)]:
        expected = [index for index in range(steps) if index % every == 0 and index < until * steps]
        cases.append((f"steps = {steps}, every = {every}, until = {until}", (steps, every, until), expected))
    verdict(attempt, cases, "counting starts at 0, the first step is in Γ, and a step that lies exactly at until · steps is not")


def check_cost(attempt):
    """attempt(steps, every, until, guidance_scale) → (U-Net passes, decodes, encodes) for one picture of a TReg run, its last D included."""
    cases = []
    for steps, every, until, omega in [(200, 3, 0.85, 5.0), (25, 2, 1.0, 4.0), (25, 2, 1.0, 1.0), (10, 3, 0.0, 7.5), (7, 3, 0.5, 0.5)]:
        corrected = sum(index % every == 0 and index < until * steps for index in range(steps))
        expected = (steps * (1 if omega == 1 else 2), corrected + 1, corrected)
        cases.append((f"steps = {steps}, every = {every}, until = {until}, ω = {omega:g}", (steps, every, until, omega), expected))
    hint = "guidance asks the network twice in every step, except at ω = 1; D and E work in Γ only, and D once more at the very end"
    verdict(attempt, cases, hint)


def check_algorithm_step(attempt):
    """attempt(z_t, c, null, a, a_prev, omega, reconcile, parts, fresh) → (z_{t−1}, c_∅), one turn of Algorithm 1.

    parts: predict(z_t, c), decode(z), encode(x), pixel_step(x), negate(c_∅, x).
    """

    def predict(z, c):
        return torch.tanh(z) * (1 + c.mean((1, 2), keepdim=True)[..., None])

    parts = {
        "predict": predict,
        "decode": lambda z: 0.5 * z + 0.3,
        "encode": lambda x: 2 * x**2 - 0.5,
        "pixel_step": lambda x: x.clamp(-0.2, 0.9) + 0.1,
        "negate": lambda null, x: null - 0.1 * x.mean((1, 2, 3))[:, None, None].sign() * (1 + x.amax((1, 2, 3))[:, None, None]),
    }
    cases = []
    for i, (reconcile, a, a_prev, omega) in enumerate([(True, 0.3, 0.6, 4.0), (False, 0.3, 0.6, 4.0), (True, 0.8, 1.0, 2.0)]):
        z_t, fresh = _normal(2, 4, 3, 3, seed=700 + i), _normal(2, 4, 3, 3, seed=710 + i)
        c, null = _normal(2, 5, 6, seed=720 + i), _normal(2, 5, 6, seed=730 + i)
        a, a_prev = torch.tensor(a), torch.tensor(a_prev)
        noise = predict(z_t, null) + omega * (predict(z_t, c) - predict(z_t, null))
        z0, after, mixed = (z_t - (1 - a).sqrt() * noise) / a.sqrt(), null, noise
        if reconcile:
            x_hat = parts["pixel_step"](parts["decode"](z0))
            after = parts["negate"](null, x_hat)
            z0 = a_prev * parts["encode"](x_hat) + (1 - a_prev) * z0
            mixed = (1 - a_prev).sqrt() * noise + a_prev.sqrt() * fresh
        expected = (a_prev.sqrt() * z0 + (1 - a_prev).sqrt() * mixed, after)
        case = f"a step {'in' if reconcile else 'outside of'} Γ, ᾱ_t = {a:.1f}, ᾱ_(t−1) = {a_prev:.1f}"
        cases.append((case, (z_t, c, null, a, a_prev, omega, reconcile, parts, fresh), expected))
    hint = "line by line as in Algorithm 1: negation looks at x̂ after the pixel step, and the c_∅ it returns is for the next turn"
    verdict(attempt, cases, hint, tolerance=1e-3)


def check_paired_difference(attempt):
    """attempt(a, b) → (mean difference, its standard error over pictures).  a, b: (N, S), bool, N pictures and S seeds."""
    cases = []
    for i, (case, N, S) in enumerate([("one seed", 6, 1), ("seeds that agree", 5, 4), ("seeds that do not", 8, 3)]):
        of_picture = _random(N, 1, seed=740 + i)
        a, b = ((of_picture + share * _random(N, S, seed=750 + 2 * i + k)) > 0.6 for k, share in enumerate((0.4, 0.2)))
        if case == "seeds that agree":
            a, b = a[:, :1].expand(N, S), b[:, :1].expand(N, S)
        difference = a.double().mean(1) - b.double().mean(1)
        cases.append((f"{case}, N = {N} and S = {S}", (a, b), (difference.mean().item(), (difference.std() / N**0.5).item())))
    hint = "first the share of each picture over its seeds, then a − b, then mean and std / √N: seeds of one picture are no new pictures"
    verdict(attempt, cases, hint)
