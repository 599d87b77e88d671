"""treg_edu.exercises: every check takes the right answer, refuses plausible wrong ones in a sentence, and never raises."""

import math
from statistics import NormalDist

import pytest
import torch

import treg_edu as te
from treg_edu import exercises
from treg_edu.exercises.base import normal, uniform
from treg_edu.experiments.intervals import mean_interval

RIGHT, WRONG, ANSWERS = {}, {}, {}
"""By check: the solution; and at least two plausible mistakes.  Filled below, one block a notebook.

ANSWERS are those of exercises that ask for a word or a number and not for a function: (the right one, wrong ones).
"""


# 01_forward_operators
def _mosaic(back=lambda mask, y: mask * y, join=lambda seen: seen.sum(1, keepdim=True), order=(0, 1, 1, 2)):
    """A class whose A keeps the colours of `order` in each 2×2 pixels."""

    class Mosaic(te.operators.LinearOperator):
        def mask(self, x):
            mask = x.new_zeros(3, *x.shape[-2:])
            for colour, (row, column) in zip(order, [(0, 0), (0, 1), (1, 0), (1, 1)]):
                mask[colour, row::2, column::2] = 1
            return mask

        def A(self, x):
            return join(self.mask(x) * x)

        def A_adjoint(self, y):
            return back(self.mask(y), y)

    return Mosaic


RIGHT["check_colour_mosaic"] = _mosaic()
WRONG["check_colour_mosaic"] = [
    _mosaic(back=lambda mask, y: y.expand(-1, 3, -1, -1)),
    _mosaic(back=lambda mask, y: y.expand(-1, 3, -1, -1) / 3),
    _mosaic(join=lambda seen: seen.mean(1, keepdim=True)),
    _mosaic(join=lambda seen: seen),
    _mosaic(order=(2, 1, 1, 0)),
]


def _seen(M, x, rtol=1e-4):
    return torch.linalg.pinv(M, rtol=rtol) @ M @ x


RIGHT["check_split"] = lambda M, x: (_seen(M, x), x - _seen(M, x))
WRONG["check_split"] = [
    lambda M, x: (x - _seen(M, x), _seen(M, x)),  # in the other order
    lambda M, x: (M.T @ M @ x, x - M.T @ M @ x),  # the adjoint taken for the inverse
    lambda M, x: (_seen(M, x), x),
    lambda M, x: (_seen(M, x, rtol=0), x - _seen(M, x, rtol=0)),  # rounding residues inverted, so that all is seen
    lambda M, x: _seen(M, x),
]
RIGHT["check_least_squares_near"] = lambda M, y, lam, c: torch.linalg.solve(M.T @ M + lam * torch.eye(len(c)), M.T @ y + lam * c)
WRONG["check_least_squares_near"] = [
    lambda M, y, lam, c: torch.linalg.solve(M.T @ M + lam * torch.eye(len(c)), M.T @ y),  # c forgotten
    lambda M, y, lam, c: torch.linalg.solve(M.T @ M + lam * torch.eye(len(c)), M.T @ y + c),
    lambda M, y, lam, c: torch.linalg.solve(M.T @ M + lam, M.T @ y + lam * c),  # λ added to every entry
    lambda M, y, lam, c: torch.linalg.solve(M.T @ M + lam**2 * torch.eye(len(c)), M.T @ y + lam**2 * c),
    lambda M, y, lam, c: c + M.T @ (y - M @ c) / lam,
]
RIGHT["check_discrepancy_weight"] = lambda w, m, s: w[m <= s].max() if (m <= s).any() else w.min()
WRONG["check_discrepancy_weight"] = [
    lambda w, m, s: w[m.argmin()],
    lambda w, m, s: w[(m - s).abs().argmin()],
    lambda w, m, s: (m <= s).sum() - 1,
    lambda w, m, s: w[min(int((m <= s).sum()), len(w) - 1)],
    lambda w, m, s: w[m <= s].max(),  # fails where there is none
]


def _descent(operator, y, c, lam, steps, centre=1, start=1):
    x = start * c
    for _ in range(steps):
        x = x - (operator.A_adjoint(operator.A(x) - y) + lam * (x - centre * c)) / (1 + lam)
    return x


RIGHT["check_descent"] = _descent
WRONG["check_descent"] = [
    lambda *arguments: _descent(*arguments, centre=0),  # as it is given
    lambda operator, y, c, lam, steps: _descent(operator, y, c, lam, 1),
    lambda operator, y, c, lam, steps: _descent(operator, y, c, 2 * lam, steps),
    lambda operator, y, c, lam, steps: c,
]
RIGHT["check_gamma_gradient"] = lambda x, y, g: g * x ** (g - 1) * (x**g - y)
WRONG["check_gamma_gradient"] = [
    lambda x, y, g: x**g - y,  # the Jacobian forgotten
    lambda x, y, g: g * x ** (g - 1) * (y - x**g),
    lambda x, y, g: x ** (g - 1) * (x**g - y),
    lambda x, y, g: 2 * g * x ** (g - 1) * (x**g - y),
    lambda x, y, g: g * x**g * (x**g - y),
]
ANSWERS["check_best_cut"] = (1024, [64, 4096, 512, "1024", None, torch.zeros(2)])
ANSWERS["check_weight_of_a_prior"] = (4e-4, [0.02, 2500, 2e-4, 1.0, "4e-4", None])


# 02_phase_retrieval_symmetries
RIGHT["check_conjugate_flip"] = lambda x: x.flip((-2, -1)).roll((1, 1), (-2, -1))
WRONG["check_conjugate_flip"] = [
    lambda x: x.flip((-2, -1)),  # turned in its frame: row 0 has gone to the last
    lambda x: x.flip((-2, -1)).roll((-1, -1), (-2, -1)),
    lambda x: x.flip(-1).roll(1, -1),  # a mirror
    lambda x: -x,
    lambda x: torch.fft.fft2(x).conj(),
]
RIGHT["check_distinct_magnitudes"] = lambda H, W: (H * W + (2 - H % 2) * (2 - W % 2)) // 2
WRONG["check_distinct_magnitudes"] = [
    lambda H, W: H * W,
    lambda H, W: H * W // 2,
    lambda H, W: H * W // 2 + 1,  # as if only the zero frequency were its own mirror image
    lambda H, W: H * (W // 2 + 1),  # what rfft2 stores
    lambda H, W: H * W / 2 + 2,  # right for even sides alone
]
RIGHT["check_turned_error"] = lambda x_hat, x: (
    torch.minimum((x_hat - x).square().mean((2, 3)), (x_hat.flip((-2, -1)) - x).square().mean((2, 3))).mean(1).sqrt()
)
WRONG["check_turned_error"] = [
    lambda x_hat, x: torch.minimum(  # one turn for all channels
        (x_hat - x).square().mean((1, 2, 3)), (x_hat.flip((-2, -1)) - x).square().mean((1, 2, 3))
    ).sqrt(),
    lambda x_hat, x: torch.minimum((x_hat - x).square(), (x_hat.flip((-2, -1)) - x).square()).mean((1, 2, 3)).sqrt(),  # pixel by pixel
    lambda x_hat, x: torch.minimum(  # a mean of roots
        (x_hat - x).square().mean((2, 3)).sqrt(), (x_hat.flip((-2, -1)) - x).square().mean((2, 3)).sqrt()
    ).mean(1),
    lambda x_hat, x: torch.minimum((x_hat - x).square().mean((2, 3)), (x_hat.flip(-1) - x).square().mean((2, 3))).mean(1).sqrt(),
    lambda x_hat, x: torch.minimum((x_hat - x).square().mean((2, 3)), (x_hat.flip((-2, -1)) - x).square().mean((2, 3))).mean(1),
    lambda x_hat, x: (x_hat - x).square().mean((1, 2, 3)).sqrt(),
]
RIGHT["check_hio_step"] = lambda x, output, support, beta: torch.where(support & (output >= 0), output, x - beta * output)
WRONG["check_hio_step"] = [
    lambda x, output, support, beta: torch.where(support & (output >= 0), output, 0),  # error reduction
    lambda x, output, support, beta: torch.where(support & (output >= 0), output, output - beta * output),
    lambda x, output, support, beta: torch.where(support, output, x - beta * output),
    lambda x, output, support, beta: torch.where(support & (output >= 0), output, x - 0.9 * output),
    lambda x, output, support, beta: torch.where(support & (x >= 0), output, x - beta * output),  # the old input's constraint
]


def _shift(x_hat, x, correlate=lambda a, b: a.conj() * b):
    c = torch.fft.ifft2(correlate(torch.fft.fft2(x_hat), torch.fft.fft2(x))).real.sum((0, 1))
    return tuple(int(i) for i in torch.unravel_index(c.argmax(), c.shape))


RIGHT["check_best_shift"] = _shift
WRONG["check_best_shift"] = [
    lambda x_hat, x: _shift(x_hat, x, lambda a, b: a * b.conj()),  # as it is given
    lambda x_hat, x: _shift(x_hat, x, lambda a, b: a * b),
    lambda x_hat, x: (0, 0),
]


def _best(estimates, misfits):
    return estimates.flatten(0, 1)[misfits.flatten(0, 1).argmin(0), torch.arange(misfits.shape[2])]


RIGHT["check_best_estimates"] = _best
WRONG["check_best_estimates"] = [
    lambda estimates, misfits: _best(estimates[-1:], misfits[-1:]),
    lambda estimates, misfits: _best(estimates, -misfits),
    lambda estimates, misfits: estimates.flatten(0, 1)[misfits.mean(2).flatten().argmin()],
    lambda estimates, misfits: estimates.mean((0, 1)),
]
ANSWERS["check_mixture"] = ("phases", ["magnitudes", "Magnitudes ", "both", 1, None, torch.zeros(2)])


# 03_ddim
RIGHT["check_gaussian_noise"] = lambda z, a, m, s: (1 - a).sqrt() * (z - a.sqrt() * m) / (a * s**2 + 1 - a)
WRONG["check_gaussian_noise"] = [
    lambda z, a, m, s: (z - a.sqrt() * m) / (1 - a).sqrt(),  # as if z₀ were always its mean
    lambda z, a, m, s: (1 - a).sqrt() * (z - m) / (a * s**2 + 1 - a),
    lambda z, a, m, s: (1 - a).sqrt() * (z - a.sqrt() * m) / (a * s + 1 - a),
    lambda z, a, m, s: -(z - a.sqrt() * m) / (a * s**2 + 1 - a),  # the score itself
    lambda z, a, m, s: (1 - a).sqrt() * z / (a * s**2 + 1 - a),
]
RIGHT["check_tweedie"] = lambda z, e, a: (z - (1 - a).sqrt() * e) / a.sqrt()
WRONG["check_tweedie"] = [
    lambda z, e, a: z - (1 - a).sqrt() * e,
    lambda z, e, a: (z - (1 - a) * e) / a.sqrt(),
    lambda z, e, a: (z - (1 - a).sqrt() * e) / a,
    lambda z, e, a: z / a.sqrt() - (1 - a).sqrt() * e,
    lambda z, e, a: (z + (1 - a).sqrt() * e) / a.sqrt(),
    lambda z, e, a: (z - a.sqrt() * e) / a.sqrt(),
    lambda z, e, a: z / a.sqrt(),
]
RIGHT["check_ddim_step"] = lambda z0, e, a: a.sqrt() * z0 + (1 - a).sqrt() * e
WRONG["check_ddim_step"] = [
    lambda z0, e, a: (1 - a).sqrt() * z0 + a.sqrt() * e,
    lambda z0, e, a: a * z0 + (1 - a) * e,
    lambda z0, e, a: a.sqrt() * z0,
    lambda z0, e, a: a.sqrt() * z0 - (1 - a).sqrt() * e,
    lambda z0, e, a: z0 + (1 - a).sqrt() * e,
    lambda z0, e, a: a.sqrt() * z0 + (1 - a).sqrt() * torch.randn_like(e),
]
RIGHT["check_guide"] = lambda without, with_text, omega: without + omega * (with_text - without)
WRONG["check_guide"] = [
    lambda without, with_text, omega: with_text + omega * (with_text - without),
    lambda without, with_text, omega: with_text + omega * (without - with_text),
    lambda without, with_text, omega: without + omega * with_text,
    lambda without, with_text, omega: omega * (with_text - without),
]


def _enough(steps, pictures, tolerance, power=0.5, later=0, reference=None):
    for i in range(len(steps) - 1):
        other = pictures[i + 1 if reference is None else reference]
        if (pictures[i] - other).square().mean() ** power <= tolerance:
            return steps[i + later]
    return steps[-1]


RIGHT["check_enough_steps"] = _enough
WRONG["check_enough_steps"] = [
    lambda *arguments: _enough(*arguments, reference=-1),
    lambda *arguments: _enough(*arguments, later=1),
    lambda *arguments: _enough(*arguments, power=1),
    lambda steps, pictures, tolerance: steps[-1],
]


def _walk_down(z, noise_at, levels, weight=lambda a, b: (1 - b).sqrt(), shrink=lambda a, b: b.sqrt()):
    for a, b in zip(levels, levels[1:]):
        noise = noise_at(z, a)
        z = shrink(a, b) * (z - (1 - a).sqrt() * noise) / a.sqrt() + weight(a, b) * noise
    return z


RIGHT["check_walk_down"] = _walk_down
WRONG["check_walk_down"] = [
    lambda *arguments: _walk_down(*arguments, weight=lambda a, b: (1 - a).sqrt()),  # as it is given
    lambda *arguments: _walk_down(*arguments, weight=lambda a, b: (1 - a).sqrt(), shrink=lambda a, b: a.sqrt()),
    lambda *arguments: _walk_down(*arguments, weight=lambda a, b: 0),
    lambda *arguments: _walk_down(*arguments, weight=lambda a, b: 1 - b),
]
RIGHT["check_rescaled_score"] = lambda score, z, a: score(z / a.sqrt(), ((1 - a) / a).sqrt()) / a.sqrt()
WRONG["check_rescaled_score"] = [
    lambda score, z, a: score(z / a.sqrt(), ((1 - a) / a).sqrt()),  # the chain rule forgotten
    lambda score, z, a: score(z / a.sqrt(), ((1 - a) / a).sqrt()) * a.sqrt(),
    lambda score, z, a: score(z / a.sqrt(), (1 - a).sqrt()) / a.sqrt(),
    lambda score, z, a: score(z, ((1 - a) / a).sqrt()) / a.sqrt(),
]
RIGHT["check_from_v"] = lambda z, v, a: (a.sqrt() * z - (1 - a).sqrt() * v, (1 - a).sqrt() * z + a.sqrt() * v)
WRONG["check_from_v"] = [
    lambda z, v, a: ((1 - a).sqrt() * z + a.sqrt() * v, a.sqrt() * z - (1 - a).sqrt() * v),  # in the other order
    lambda z, v, a: (a.sqrt() * z + (1 - a).sqrt() * v, (1 - a).sqrt() * z - a.sqrt() * v),
    lambda z, v, a: ((z - (1 - a).sqrt() * v) / a.sqrt(), v),  # v taken for ε
    lambda z, v, a: (1 - a).sqrt() * z + a.sqrt() * v,
]
RIGHT["check_renoise"] = lambda z0, e, n, a, s: a.sqrt() * z0 + (1 - a - s**2).sqrt() * e + s * n
WRONG["check_renoise"] = [
    lambda z0, e, n, a, s: a.sqrt() * z0 + (1 - a).sqrt() * e + s * n,  # noise on top of noise
    lambda z0, e, n, a, s: a.sqrt() * z0 + ((1 - a).sqrt() - s) * e + s * n,
    lambda z0, e, n, a, s: a.sqrt() * z0 + (1 - a - s).abs().sqrt() * e + s * n,
    lambda z0, e, n, a, s: a.sqrt() * z0 + (1 - a - s**2).sqrt() * e + s**2 * n,
    lambda z0, e, n, a, s: a.sqrt() * z0 + (1 - a - s).sqrt() * e + s * n,  # nan where s > 1 − ᾱ
]
ANSWERS["check_where_text_helps"] = (999, [50, 400, "999", None, torch.zeros(2)])


# 04_latent_data_consistency
RIGHT["check_inpainting_step"] = lambda mask, y, x, lam: (mask * y + lam * x) / (mask + lam)
WRONG["check_inpainting_step"] = [
    lambda mask, y, x, lam: (y + lam * x) / (1 + lam),  # as if every pixel were measured
    lambda mask, y, x, lam: torch.where(mask == 1, y, x),  # λ = 0
    lambda mask, y, x, lam: (mask * y + x) / (mask + lam),
    lambda mask, y, x, lam: (mask * lam * y + x) / (mask * lam + 1),  # λ on the wrong term
]


def steepest(matvec, b, x, dims=(1, 2, 3), sign=1, exact=True):
    r = b - matvec(x)
    alpha = (r * r).sum(dims, keepdim=True) / (r * (matvec(r) if exact else r)).sum(dims, keepdim=True)
    return x + sign * alpha * r


RIGHT["check_steepest_step"] = steepest
WRONG["check_steepest_step"] = [
    lambda matvec, b, x: steepest(matvec, b, x, dims=(0, 1, 2, 3)),  # one length for the whole batch
    lambda matvec, b, x: steepest(matvec, b, x, sign=-1),
    lambda matvec, b, x: steepest(matvec, b, x, exact=False),  # a step of length 1
    lambda matvec, b, x: steepest(matvec, b, x, dims=(2, 3)),
]


def _walk(matvec, b, x, iterations, beta=lambda new, old: new / old, dims=(1, 2, 3)):
    def inner(a, b):
        return (a * b).sum(dims, keepdim=True)

    r = p = b - matvec(x)
    for _ in range(iterations):
        alpha = inner(r, r) / inner(p, matvec(p))
        x, before, r = x + alpha * p, inner(r, r), r - alpha * matvec(p)
        p = r + beta(inner(r, r), before) * p
    return x


RIGHT["check_conjugate_gradient"] = _walk
WRONG["check_conjugate_gradient"] = [
    lambda *given: _walk(*given, beta=lambda new, old: old / new),  # as it is given
    lambda *given: _walk(*given, beta=lambda new, old: 0),  # steepest descent
    lambda *given: _walk(*given, beta=lambda new, old: 1),
    lambda *given: _walk(*given, beta=lambda new, old: -new / old),
    lambda *given: _walk(*given, dims=(0, 1, 2, 3)),  # one length for the whole batch
]
RIGHT["check_guess_weight"] = lambda m, s2, sigma: sigma**2 / ((m**2 - sigma**2) / s2)
WRONG["check_guess_weight"] = [
    lambda m, s2, sigma: sigma**2 * s2 / m**2,  # the noise taken for an error of the guess
    lambda m, s2, sigma: sigma * s2 / (m - sigma),
    lambda m, s2, sigma: (m**2 - sigma**2) / s2,
    lambda m, s2, sigma: sigma**2 / (m**2 - sigma**2),
    lambda m, s2, sigma: (m**2 - sigma**2) / (s2 * sigma**2),
    lambda m, s2, sigma: (sigma**2 * s2 / (m**2 - sigma**2)).mean(),  # one weight for all pictures
]
ANSWERS["check_shown_loss"] = ("box inpainting", ["super-resolution ×16", "Gaussian blur, σ 5", "blur", 1, None])
ANSWERS["check_remaining_misfit"] = (1e-4 / (1 / 256 + 1e-4), [0.975, 0.0016, 0.0256, 40, "0.025", None])
RIGHT["check_noise_gain"] = lambda s, lam: (s / (s**2 + lam), 1 / (2 * lam**0.5))
WRONG["check_noise_gain"] = [
    lambda s, lam: (1 / s, 1 / (2 * lam**0.5)),  # the pseudo-inverse
    lambda s, lam: (s / (s**2 + lam), 1 / lam),
    lambda s, lam: (s**2 / (s**2 + lam), 1.0),  # of y's own part, not of the noise
    lambda s, lam: (s / (s + lam), 1 / (2 * lam**0.5)),
    lambda s, lam: s / (s**2 + lam),
]


# 05_text_regularization
RIGHT["check_guided"] = lambda null, text, omega: (1 - omega) * null + omega * text
WRONG["check_guided"] = [
    lambda null, text, omega: text + omega * (text - null),  # as it is given
    lambda null, text, omega: text + omega * (null - text),
    lambda null, text, omega: omega * (text - null),
    lambda null, text, omega: text,
    lambda null, text, omega: null + omega * text,
]
RIGHT["check_precision_weight"] = lambda a, b: b**2 / (a**2 + b**2)
WRONG["check_precision_weight"] = [
    lambda a, b: a**2 / (a**2 + b**2),
    lambda a, b: b / (a + b),
    lambda a, b: 1 / a**2,
    lambda a, b: 0.5,
]


def _choose(omegas, misfits, similarities, slack):
    allowed = [i for i in range(len(omegas)) if misfits[i] <= (1 + slack) * min(misfits)]
    return omegas[max(allowed, key=lambda i: similarities[i])]


RIGHT["check_choose_guidance"] = _choose
WRONG["check_choose_guidance"] = [
    lambda o, m, s, slack: o[s.argmax()],  # whatever the misfit
    lambda o, m, s, slack: o[m.argmin()],
    lambda o, m, s, slack: o[m <= (1 + slack) * m.min()].max(),
    lambda o, m, s, slack: _choose(o, m.clamp(min=m[0]), s, slack),  # against the first misfit
    lambda o, m, s, slack: torch.where(m <= (1 + slack) * m.min(), s, -torch.inf).argmax(),
]
RIGHT["check_sign_test"] = lambda wins, n: min(1.0, 2 * sum(math.comb(n, k) for k in range(max(wins, n - wins), n + 1)) / 2**n)
WRONG["check_sign_test"] = [
    lambda wins, n: sum(math.comb(n, k) for k in range(wins, n + 1)) / 2**n,  # one-sided
    lambda wins, n: math.comb(n, wins) / 2**n,
    lambda wins, n: wins / n,
    lambda wins, n: sum(math.comb(n, k) for k in range(n + 1) if abs(k - n / 2) > abs(wins - n / 2)) / 2**n,
    lambda wins, n: 2 * sum(math.comb(n, k) for k in range(wins, n + 1)) / 2**n,  # right above a half alone
]
RIGHT["check_latent_step_of_two_texts"] = lambda y, a, b, p, q, r: (p * y + q * a + r * b) / (p + q + r)
WRONG["check_latent_step_of_two_texts"] = [
    lambda y, a, b, p, q, r: p * y + q * a + r * b,
    lambda y, a, b, p, q, r: (y + a + b) / 3,
    lambda y, a, b, p, q, r: p / (p + q) * y + q / (p + q) * (a + r * b) / (1 + r),
    lambda y, a, b, p, q, r: (p**2 * y + q**2 * a + r**2 * b) / (p**2 + q**2 + r**2),
]


def _treg_step(z_t, e, n, a, b, correct, level=None, share=None, renewed=True):
    z0 = (z_t - (1 - a).sqrt() * e) / a.sqrt()
    level, share = b if level is None else level, b if share is None else share
    z = share * correct(z0) + (1 - share) * z0
    return level.sqrt() * z + (1 - level).sqrt() * ((1 - level).sqrt() * e + level.sqrt() * n if renewed else e)


RIGHT["check_treg_step"] = _treg_step
WRONG["check_treg_step"] = [
    lambda z_t, e, n, a, b, correct: _treg_step(z_t, e, n, a, b, correct, share=a),
    lambda z_t, e, n, a, b, correct: _treg_step(z_t, e, n, a, b, correct, share=1 - b),  # the two swapped
    lambda z_t, e, n, a, b, correct: _treg_step(z_t, e, n, a, b, correct, level=a),
    lambda z_t, e, n, a, b, correct: _treg_step(z_t, e, n, a, b, correct, renewed=False),  # DDIM
    lambda z_t, e, n, a, b, correct: _treg_step(z_t, n, e, a, b, correct),
    lambda z_t, e, n, a, b, correct: _treg_step(z_t, e, n, a, b, lambda z0: z0),  # nothing corrected
]
RIGHT["check_decided_by_text"] = lambda x: x.mean(1).var(0, correction=0).mean() / x.flatten(0, 1).var(0, correction=0).mean()
WRONG["check_decided_by_text"] = [
    lambda x: x.mean(1).var(0).mean() / x.flatten(0, 1).var(0).mean(),  # divided by N − 1
    lambda x: x.var(1, correction=0).mean() / x.flatten(0, 1).var(0, correction=0).mean(),  # the share of the seeds
    lambda x: x.mean(0).var(0, correction=0).mean() / x.flatten(0, 1).var(0, correction=0).mean(),  # means over texts
    lambda x: x.mean(1).std(0, correction=0).mean() / x.flatten(0, 1).std(0, correction=0).mean(),
]
ANSWERS["check_larger_cost"] = ("guidance", ["text", "both", 4, None])
ANSWERS["check_cancelling_factor"] = ("p(z|x,y)", ["p(y|x)", "p(x|z)", "zeta", 1, None])
ANSWERS["check_larger_cost"] = ("guidance", ["text", "both", 4, None])
ANSWERS["check_cancelling_factor"] = ("p(z|x,y)", ["p(y|x)", "p(x|z)", "zeta", 1, None])
ANSWERS["check_larger_cost"] = ("guidance", ["text", "both", 4, None])
ANSWERS["check_cancelling_factor"] = ("p(z|x,y)", ["p(y|x)", "p(x|z)", "zeta", 1, None])


# 06_adaptive_negation
def _unit(f):
    return f / f.norm(dim=-1, keepdim=True)


def _loss(f, c, L=None):
    L = L or c.shape[1]
    return (f[:, None] * c).sum((1, 2)) / L, (f / L)[:, None].expand_as(c)


def _adam(gradient, c, rate, iterations, corrected=True, root=True, first=1):
    m = v = torch.zeros_like(c)
    for k in range(first, first + iterations):
        g = gradient(c)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        m_hat, v_hat = (m / (1 - 0.9**k), v / (1 - 0.999**k)) if corrected else (m, v)
        c = c - rate * m_hat / ((v_hat.sqrt() if root else v_hat) + 1e-8)
    return c


RIGHT["check_negation_loss"] = lambda f, c: _loss(_unit(f), c)
WRONG["check_negation_loss"] = [
    _loss,  # the feature not normalised
    lambda f, c: _loss(_unit(f), c, L=1),  # a sum over tokens
    lambda f, c: (_loss(_unit(f), c)[0], _unit(f)[:, None].expand_as(c)),
    lambda f, c: (_loss(_unit(f), _unit(c))[0], _loss(_unit(f), c)[1]),  # a cosine
    lambda f, c: (_loss(_unit(f), c)[0], -_loss(_unit(f), c)[1]),
    lambda f, c: (_loss(_unit(f), c)[0], _unit(f) / c.shape[1]),
]
RIGHT["check_adam"] = _adam
WRONG["check_adam"] = [
    lambda gradient, c, rate, n: _adam(gradient, c, rate, n, corrected=False),
    lambda gradient, c, rate, n: _adam(gradient, c, rate, n, root=False),
    lambda gradient, c, rate, n: _adam(gradient, c, rate, n, first=2),
    lambda gradient, c, rate, n: c - n * rate * gradient(c).sign(),  # right for a constant gradient alone
    lambda gradient, c, rate, n: c - n * rate * gradient(c),
    lambda gradient, c, rate, n: _adam(gradient, c, -rate, n),
]
RIGHT["check_pull_back"] = lambda f, P: _unit(f) @ P
WRONG["check_pull_back"] = [
    lambda f, P: f @ P,
    lambda f, P: _unit(f @ P),
    lambda f, P: f @ P / f.norm(),  # one length for the whole batch
    lambda f, P: _unit(f) @ P.T if P.shape[0] == P.shape[1] else _unit(f) @ P,
    lambda f, P: _unit(f) @ torch.linalg.pinv(P).T,  # the inverse taken for the adjoint
]
RIGHT["check_shortest_move"] = lambda c, f, drop: c - drop * _unit(f)[:, None]
WRONG["check_shortest_move"] = [
    lambda c, f, drop: c - drop / c.shape[1] * _unit(f)[:, None],
    lambda c, f, drop: c - drop * f[:, None],
    lambda c, f, drop: c - drop * (f.sign() * f.norm(dim=1, keepdim=True) / f.abs().sum(1, keepdim=True))[:, None],  # as Adam goes
    lambda c, f, drop: torch.cat([c[:, :1] - c.shape[1] * drop * _unit(f)[:, None], c[:, 1:]], 1),  # one token for all
    lambda c, f, drop: c + drop * _unit(f)[:, None],
]


def _dot(u, v):
    return (u * v).flatten(1).sum(1)


RIGHT["check_extra_guidance"] = lambda d, n, t: _dot(d, t - n) / _dot(t - n, t - n)
WRONG["check_extra_guidance"] = [
    lambda d, n, t: torch.cosine_similarity(d.flatten(1), (t - n).flatten(1)),
    lambda d, n, t: ((d * (t - n)).sum() / (t - n).square().sum()).expand(len(d)),  # one number for the batch
    lambda d, n, t: _dot(d, t - n) / _dot(t - n, t - n).sqrt(),
    lambda d, n, t: _dot(d, n - t) / _dot(t - n, t - n),
    lambda d, n, t: (_dot(d, d) / _dot(t - n, t - n)).sqrt(),  # lengths alone
]


def _rate(rates, misfits, without, tolerance, rise=lambda m, w: (m - w).mean(1), none=0.0):
    allowed = rates[rise(misfits, without) <= tolerance]
    return allowed.max() if len(allowed) else none


RIGHT["check_gentle_rate"] = _rate
WRONG["check_gentle_rate"] = [
    lambda *given: _rate(*given, rise=lambda m, w: m.mean(1)),  # the misfit itself
    lambda r, m, w, tol: min(r[(m - w).mean(1) <= tol].tolist(), default=0.0),
    lambda r, m, w, tol: r[((m - w).mean(1) - tol).abs().argmin()],
    lambda *given: _rate(*given, none=given[0].min()),
    lambda r, m, w, tol: int(((m - w).mean(1) <= tol).sum()) - 1,
    lambda r, m, w, tol: r[(m - w).mean(1) <= tol].max(),  # fails where there is none
]
ANSWERS["check_negation_push"] = ("more", ["less", "Less ", "the same", 1, None, torch.zeros(2)])


# 07_treg
RIGHT["check_consistency_steps"] = lambda T, every, until: [i for i in range(T) if i % every == 0 and i < until * T]
WRONG["check_consistency_steps"] = [
    lambda T, every, until: [i for i in range(1, T + 1) if i % every == 0 and i < until * T],  # counted from 1
    lambda T, every, until: [i for i in range(T) if i % every == 0 and i <= until * T],
    lambda T, every, until: [i for i in range(T) if i % every == 0][: int(until * T)],  # the first steps of Γ, not of the run
    lambda T, every, until: [i for i in range(T) if i < until * T],
    lambda T, every, until: len(range(0, T, every)),
]


def _cost(T, every, until, omega, twice=2, last=1):
    corrected = sum(i % every == 0 and i < until * T for i in range(T))
    return T if omega == 1 else twice * T, corrected + last, corrected


RIGHT["check_cost"] = _cost
WRONG["check_cost"] = [
    lambda T, every, until, omega: _cost(T, every, until, omega, twice=1),
    lambda T, every, until, omega: _cost(T, every, until, omega, last=0),  # the D of the last line forgotten
    lambda T, every, until, omega: _cost(T, every, until, 2.0),  # ω = 1 costs half
    lambda T, every, until, omega: _cost(T, 1, 1.0, omega),  # every step in Γ
    lambda T, every, until, omega: (*_cost(T, every, until, omega)[:2], T),
    lambda T, every, until, omega: (T * (2 if omega > 1 else 1), *_cost(T, every, until, omega)[1:]),  # ω < 1 costs twice as well
    lambda T, every, until, omega: (_cost(T, every, until, omega)[0], 1 - -int(until * T) // every, -(-int(until * T) // every)),
]


def _algorithm_step(z_t, c, null, a, b, omega, rho, reconcile, parts, fresh, level=None, share=None, seen="x̂", late=True, renewed=True):
    def guided(null):
        return parts["predict"](z_t, null) + omega * (parts["predict"](z_t, c) - parts["predict"](z_t, null))

    e = guided(null)
    z0 = (z_t - (1 - a).sqrt() * e) / a.sqrt()
    level, share = b if level is None else level, b if share is None else share
    if not reconcile:
        return level.sqrt() * z0 + (1 - level).sqrt() * e - rho * level.sqrt() * parts["gradient"](z_t, c, null), null
    x = parts["decode"](z0)
    x_hat = parts["pixel_step"](x)
    after = parts["negate"](null, x_hat if seen == "x̂" else x)
    z = share * parts["encode"](x_hat) + (1 - share) * z0
    e = e if late else guided(after)
    mixed = (1 - level).sqrt() * e + level.sqrt() * fresh if renewed else e
    return level.sqrt() * z + (1 - level).sqrt() * mixed, after


RIGHT["check_algorithm_step"] = _algorithm_step
WRONG["check_algorithm_step"] = [
    lambda *given: _algorithm_step(*given, share=given[3]),
    lambda *given: _algorithm_step(*given[:7], True, *given[8:]),  # reconciled always
    lambda *given: _algorithm_step(*given, level=given[3]),
    lambda *given: _algorithm_step(*given, seen="D(ẑ₀)"),  # negation before the pixel step
    lambda *given: _algorithm_step(*given, late=False),  # the new null text used at once
    lambda *given: _algorithm_step(*given, renewed=False),
    lambda *given: (_algorithm_step(*given)[0], given[2]),  # the negated null text thrown away
    lambda z_t, c, null, *rest: _algorithm_step(z_t, null, c, *rest),  # the texts swapped
    lambda *given: _algorithm_step(*given[:6], 0.0, *given[7:]),  # without the latent-DPS step
]


def _dps_gradient(z_t, image_of, operator, y, distance=lambda off: off.flatten(1).norm(dim=1).sum()):
    with torch.enable_grad():
        z = z_t.detach().requires_grad_()
        of_batch = distance(y - operator.A(image_of(z)))
    return torch.autograd.grad(of_batch, z)[0]


RIGHT["check_dps_gradient"] = _dps_gradient
WRONG["check_dps_gradient"] = [
    lambda *given: _dps_gradient(*given, distance=torch.norm),  # as it is given
    lambda *given: _dps_gradient(*given, distance=lambda off: off.square().sum()),
    lambda *given: _dps_gradient(*given, distance=lambda off: off.flatten(1).norm(dim=1).mean()),
    lambda *given: -_dps_gradient(*given),
    lambda *given: _dps_gradient(*given, distance=lambda off: off.flatten(1).norm(dim=0).sum()),  # over the batch
]
RIGHT["check_best_seed"] = lambda x_hats, misfits: x_hats[torch.arange(len(x_hats)), misfits.argmin(1)]
WRONG["check_best_seed"] = [
    lambda x_hats, misfits: x_hats[:, misfits.mean(0).argmin()],  # one seed for all
    lambda x_hats, misfits: x_hats[torch.arange(len(x_hats)), misfits.argmax(1)],
    lambda x_hats, misfits: x_hats.mean(1),
    lambda x_hats, misfits: misfits.argmin(1),
    lambda x_hats, misfits: x_hats[:, misfits.argmin(1)],
]
ANSWERS["check_turned_copy"] = ("turned", ["upright", "Equal", "both", 1, None, torch.zeros(2)])


def _paired(a, b, per=lambda each: each.double().mean(1)):
    d = per(a) - per(b)
    return d.mean(), d.std() / len(d) ** 0.5


RIGHT["check_paired_difference"] = _paired
WRONG["check_paired_difference"] = [
    lambda a, b: _paired(a, b, lambda each: each.double().flatten()),  # every seed a sample of its own
    lambda a, b: (_paired(a, b)[0], _paired(a, b)[1] * len(a) ** 0.5),  # the deviation, not the error of the mean
    lambda a, b: (_paired(a, b)[0], ((a.double().mean(1).var() + b.double().mean(1).var()) / len(a)).sqrt()),  # not paired
    lambda a, b: _paired(b, a),
    lambda a, b: (_paired(a, b)[0], (a.double().mean(1) - b.double().mean(1)).std(correction=0) / len(a) ** 0.5),
]


# 08_the_other_solvers
def _norm_gradient(A, y, x, whole=False, power=1):
    off = x @ A.T - y
    return off @ A / (off.norm() if whole else off.norm(dim=1, keepdim=True)) ** power


RIGHT["check_norm_gradient"] = _norm_gradient
WRONG["check_norm_gradient"] = [
    lambda A, y, x: _norm_gradient(A, y, x, power=0),  # of half the square
    lambda A, y, x: -_norm_gradient(A, y, x),
    lambda A, y, x: _norm_gradient(A, y, x, whole=True),  # one norm for the batch
    lambda A, y, x: _norm_gradient(A, y, x, power=2),
    lambda A, y, x: (x @ A.T - y) @ torch.linalg.pinv(A).T / (x @ A.T - y).norm(dim=1, keepdim=True),
]


def _through(z, y, a, v, slope=None, jacobian=None):
    slope = a**0.5 * v / (a * v + 1 - a) if slope is None else slope
    off = slope * z - y
    return (slope if jacobian is None else jacobian) * off / off.norm()


RIGHT["check_through_the_network"] = _through
WRONG["check_through_the_network"] = [
    lambda z, y, a, v: _through(z, y, a, v, jacobian=1),  # MPGD's: the Jacobian forgotten
    lambda z, y, a, v: _through(z, y, a, v, jacobian=1 / a**0.5),  # the noise estimate taken for a constant
    lambda z, y, a, v: _through(z, y, a, v, slope=1 / a**0.5),
    lambda z, y, a, v: _through(z, y, a, v, slope=a * v / (a * v + 1 - a)),
    lambda z, y, a, v: -_through(z, y, a, v),
]
RIGHT["check_gluing"] = lambda A, y, x: (torch.linalg.pinv(A) @ (y - A @ x)).norm()
WRONG["check_gluing"] = [
    lambda A, y, x: (A.T @ (y - A @ x)).norm(),  # the adjoint
    lambda A, y, x: (y - A @ x).norm(),
    lambda A, y, x: (torch.linalg.pinv(A) @ (y - A @ x)).norm() ** 2,
    lambda A, y, x: (torch.linalg.pinv(A) @ y + x - torch.linalg.pinv(A) @ A @ x).norm(),  # x not taken off
]


def _renoised(z, eps, fresh, a, kept, rest=lambda kept: (1 - kept**2) ** 0.5, size=lambda a: (1 - a).sqrt()):
    return a.sqrt() * z + size(a) * (kept * eps + rest(kept) * fresh)


RIGHT["check_renoised"] = _renoised
WRONG["check_renoised"] = [
    lambda *given: _renoised(*given, rest=lambda kept: 1 - kept),  # too quiet
    lambda z, eps, fresh, a, kept: _renoised(z, fresh, eps, a, kept),
    lambda *given: _renoised(*given, size=lambda a: 1),
    lambda *given: _renoised(*given, rest=lambda kept: 0),
    lambda z, eps, fresh, a, kept: _renoised(z, eps, fresh, a, (1 - a).sqrt()),  # TReg's, whatever is asked
    lambda z, eps, fresh, a, kept: a * z + (1 - a) * (kept * eps + (1 - kept**2) ** 0.5 * fresh),
]
PASSED_BACK = {"LDPS": {"U-Net", "decoder"}, "PSLD": {"U-Net", "decoder", "encoder"}, "MPGD": {"decoder"}, "TReg": set()}
ANSWERS["check_passes_back"] = (
    PASSED_BACK,
    [
        PASSED_BACK | {"LDPS": {"U-Net"}},
        PASSED_BACK | {"LDPS": {"decoder"}},
        PASSED_BACK | {"PSLD": {"U-Net", "decoder"}},
        PASSED_BACK | {"MPGD": {"U-Net", "decoder"}},
        PASSED_BACK | {"TReg": {"decoder", "encoder"}},
        PASSED_BACK | {"TReg": "nothing"},
        PASSED_BACK | {"TReg": None},
        PASSED_BACK | {"TReg": 0},
        PASSED_BACK | {"TReg": {"A"}},
        {"LDPS": {"U-Net", "decoder"}},
        "PSLD",
        None,
        torch.zeros(2),
    ],
)


def _ldps_step(z_t, y, predict, decode, A, a, a_prev, rho, cut=False, square=False, by_z0=False):
    with torch.enable_grad():
        z = z_t.clone().requires_grad_()
        eps = predict(z).detach() if cut else predict(z)
        z0 = (z - (1 - a).sqrt() * eps) / a.sqrt()
        off = (y - A(decode(z0))).flatten(1).norm(dim=1)
    (step,) = torch.autograd.grad((off**2 if square else off).sum(), z0 if by_z0 else z)
    return a_prev.sqrt() * z0 + (1 - a_prev).sqrt() * eps - rho * step


RIGHT["check_ldps_step"] = _ldps_step
WRONG["check_ldps_step"] = [
    lambda *given: _ldps_step(*given, cut=True),  # as it is given
    lambda *given: _ldps_step(*given[:-1], 0.0),
    lambda *given: _ldps_step(*given[:-1], -given[-1]),
    lambda *given: _ldps_step(*given, square=True),
    lambda *given: _ldps_step(*given, by_z0=True),  # MPGD's
]


def _chosen_step(sizes, misfits, far=lambda rms: rms.log().abs(), mean=lambda misfits: misfits.square().mean(1).sqrt()):
    return sizes[int(far(mean(misfits)).argmin())]


RIGHT["check_chosen_step"] = _chosen_step
WRONG["check_chosen_step"] = [
    lambda *given: _chosen_step(*given, far=lambda rms: rms),  # the smallest
    lambda *given: _chosen_step(*given, far=lambda rms: (rms - 1).abs()),
    lambda *given: _chosen_step(*given, mean=lambda misfits: misfits.mean(1)),
    lambda sizes, misfits: sizes.index(_chosen_step(sizes, misfits)),
    lambda sizes, misfits: sizes[-1],
]
RIGHT["check_clean_estimate"] = lambda z, e, a: (z - (1 - a).sqrt() * e) / a.sqrt()
WRONG["check_clean_estimate"] = [
    lambda z, e, a: (z - (1 - a) * e) / a.sqrt(),  # as published
    lambda z, e, a: (z - (1 - a).sqrt() * e) / a,
    lambda z, e, a: (z - (1 - a.sqrt()) * e) / a.sqrt(),
    lambda z, e, a: z - (1 - a).sqrt() * e / a.sqrt(),
]


def _pigdm(A, y, x, r2, sigma):
    inverse = torch.linalg.inv(r2 * A @ A.T + sigma**2 * torch.eye(len(A)))
    return r2 * A.T @ inverse @ (y - A @ x)


RIGHT["check_without_a_gradient"] = _pigdm
WRONG["check_without_a_gradient"] = [
    lambda A, y, x, r2, sigma: _pigdm(A, y, x, r2, sigma) / r2,  # r² forgotten
    lambda A, y, x, r2, sigma: _pigdm(A, y, x, r2, sigma**0.5),
    lambda A, y, x, r2, sigma: _pigdm(A, y, x, 2 * r2, sigma),
    lambda A, y, x, r2, sigma: x + _pigdm(A, y, x, r2, sigma),  # the picture, not the step to it
    lambda A, y, x, r2, sigma: torch.linalg.pinv(A) @ (y - A @ x),  # without noise
]


# 09_the_papers_tables
ANSWERS["check_no_difference"] = ("nothing", ["equal", "cheaper wins", "Equal ", 0.3, None, torch.zeros(2)])
ANSWERS["check_trivial_winner"] = ("misfit", ["psnr", "top-1", "distance", "KID", 1, None])


def _verdict_of(low, high, margin):
    return "holds" if high < margin else "fails" if low > margin else "undecided"


def _not_worse(own, rival, margin, sign=1):
    _, low, high = mean_interval(sign * (own - rival))
    return _verdict_of(low, high, margin)


RIGHT["check_not_worse"] = _not_worse
WRONG["check_not_worse"] = [
    lambda own, rival, m: "holds" if mean_interval(own - rival)[1] <= 0 <= mean_interval(own - rival)[2] else "fails",  # p > 0.05
    lambda own, rival, m: _verdict_of(
        mean_interval(own)[1] - mean_interval(rival)[2], mean_interval(own)[2] - mean_interval(rival)[1], m
    ),  # not in pairs
    lambda own, rival, m: "holds" if (own - rival).mean() < m else "fails",
    lambda own, rival, m: _not_worse(own, rival, m, sign=-1),
    lambda own, rival, m: "holds" if mean_interval((own - rival).abs())[2] < m else "undecided",  # equality on both sides
    lambda own, rival, m: "undecided",
]
RIGHT["check_fair_lead"] = lambda own, rivals, default: min(min(each.values()) for each in rivals.values()) - min(own.values())
WRONG["check_fair_lead"] = [
    lambda own, rivals, default: min(each[default] for each in rivals.values()) - min(own.values()),  # the straw man
    lambda own, rivals, default: min(each[default] for each in rivals.values()) - own[default],
    lambda own, rivals, default: max(min(each.values()) for each in rivals.values()) - min(own.values()),
    lambda own, rivals, default: min(own.values()) - min(min(each.values()) for each in rivals.values()),
]
RIGHT["check_chosen_beforehand"] = lambda tuning, test: test[min(tuning, key=tuning.get)]
WRONG["check_chosen_beforehand"] = [
    lambda tuning, test: min(test.values()),
    lambda tuning, test: min(tuning.values()),
    lambda tuning, test: test[min(tuning, key=lambda name: tuning[name] + test[name])],
    lambda tuning, test: test[max(tuning, key=tuning.get)],
]


def _pictures_needed(s, delta, power, level=0.975, times=1.0, rounded=math.ceil):
    z = NormalDist().inv_cdf
    return rounded(times * ((z(level) + z(power)) * s / delta) ** 2)


RIGHT["check_pictures_needed"] = _pictures_needed
WRONG["check_pictures_needed"] = [
    lambda s, delta, power: _pictures_needed(s, delta, 0.5),  # found in half of the cases
    lambda s, delta, power: _pictures_needed(s, delta, power, level=0.95),
    lambda s, delta, power: _pictures_needed(s, delta, power, times=2.0),  # two groups
    lambda s, delta, power: _pictures_needed(s**0.5, delta, power),
    lambda s, delta, power: _pictures_needed(s, delta, power, rounded=lambda n: n),
    lambda s, delta, power: _pictures_needed(s, delta, power, rounded=math.floor),
]


def _discordant(a, b):
    pairs = [(i, j) for i in range(len(a)) for j in range(i)]
    return sum(float((a[i] - a[j]) * (b[i] - b[j])) < 0 for i, j in pairs) / len(pairs)


RIGHT["check_discordant"] = _discordant
WRONG["check_discordant"] = [
    lambda a, b: _discordant(a, b) * len(a) * (len(a) - 1) / 2,  # the number, not the share
    lambda a, b: _discordant(a, b) * (len(a) - 1) / len(a),
    lambda a, b: 1 - _discordant(a, b),
    lambda a, b: 1 - 2 * _discordant(a, b),  # Kendall's τ
    lambda a, b: float((a.argsort().argsort() != b.argsort().argsort()).double().mean()),
    lambda a, b: float((a.argmax() != b.argmax()).double()),  # the winner alone
]


# 10_after_treg
ANSWERS["check_more_steps"] = ("stronger", ["weaker", "the same", "The same ", "twice", 2, None, torch.zeros(2)])
RIGHT["check_equivalent_omega"] = lambda lam, s, s_prev, kept: lam * s / (s - kept * s_prev)
WRONG["check_equivalent_omega"] = [
    lambda lam, s, s_prev, kept: lam * s / (s - s_prev),  # as if all of the noise were kept
    lambda lam, s, s_prev, kept: lam,
    lambda lam, s, s_prev, kept: lam * s / (s + kept * s_prev),
    lambda lam, s, s_prev, kept: lam * (s - kept * s_prev) / s,  # the λ of a CFG step
]


def _undone(z, n, c, lam, a, b, put=None, taken=None):
    guided = n + lam * (c - n)
    z0 = (z - (1 - b).sqrt() * (n if put is None else put)) / b.sqrt()
    return a.sqrt() * z0 + (1 - a).sqrt() * (guided if taken is None else taken)


RIGHT["check_backwards"] = _undone
WRONG["check_backwards"] = [
    lambda z, n, c, lam, a, b: _undone(z, n, c, lam, a, b, put=n + lam * (c - n)),  # CFG
    lambda z, n, c, lam, a, b: _undone(z, n, c, lam, b, a),  # forwards
    lambda z, n, c, lam, a, b: _undone(z, n, c, lam, a, b, taken=n),
    lambda z, n, c, lam, a, b: _undone(z, n, c, lam, a, b, put=c),
]


def _trust(a, v, s, left=lambda a, v: v * (1 - a) / (a * v + 1 - a)):
    return left(a, v) / (left(a, v) + s)


RIGHT["check_trust"] = _trust
WRONG["check_trust"] = [
    lambda a, v, s: 1 - _trust(a, v, s),
    lambda a, v, s: _trust(a, v, s, lambda a, v: 1 - a),
    lambda a, v, s: _trust(a, v, s, lambda a, v: (1 - a) / a),  # the noise in z_t / √ᾱ, without the prior
    lambda a, v, s: a,
]


def _tuned(c, losses, rate, slip=False, forgets=False):
    c, used = c.clone().requires_grad_(), []
    adam = torch.optim.Adam([c], rate)
    for loss in losses:
        adam = torch.optim.Adam([c], rate) if forgets else adam
        adam.zero_grad()
        loss(c).backward()
        adam.step()
        c = c.detach().requires_grad_() if slip else c
        used.append(c.detach().clone())
    return torch.stack(used)


RIGHT["check_tuned"] = _tuned
WRONG["check_tuned"] = [
    lambda c, losses, rate: _tuned(c, losses, rate, slip=True),  # as published
    lambda c, losses, rate: _tuned(c, losses, rate, forgets=True),
    lambda c, losses, rate: _tuned(c, losses, rate)[-1],
    lambda c, losses, rate: torch.stack([c - rate * torch.autograd.functional.jacobian(loss, c) for loss in losses]),
]


def _evidence(A, C, m, y, sigma, spread=True):
    covariance = A @ C @ A.T * spread + sigma**2 * torch.eye(len(A))
    return A.T @ torch.linalg.solve(covariance, y - A @ m)


RIGHT["check_evidence_gradient"] = _evidence
WRONG["check_evidence_gradient"] = [
    lambda A, C, m, y, s: _evidence(A, C, m, y, s, spread=False),  # the misfit's
    lambda A, C, m, y, s: C @ _evidence(A, C, m, y, s),
    lambda A, C, m, y, s: -_evidence(A, C, m, y, s),
    lambda A, C, m, y, s: _evidence(A, C, m, y, s**0.5),
]
RIGHT["check_kept_run"] = lambda x_hats, misfits: x_hats[torch.arange(len(x_hats)), misfits.argmin(1)]
WRONG["check_kept_run"] = [
    lambda x_hats, misfits: x_hats[torch.arange(len(x_hats)), misfits.argmax(1)],
    lambda x_hats, misfits: x_hats[:, misfits.mean(0).argmin()],
    lambda x_hats, misfits: x_hats.mean(1),
    lambda x_hats, misfits: x_hats[:, misfits.argmin(1)],  # every run for every picture
]

# 11_stable_diffusion
ANSWERS["check_twice_the_side"] = (4, [2, 8, 16, 1, 3, "4 times", None, torch.zeros(2)])
RIGHT["check_in_our_units"] = lambda sigma, step: (sigma / 2, 2 * step)
WRONG["check_in_our_units"] = [
    lambda sigma, step: (sigma / 2, step),
    lambda sigma, step: (sigma / 2, step / 2),
    lambda sigma, step: (2 * sigma, step / 2),
    lambda sigma, step: (sigma, step),
]
RIGHT["check_noise_share"] = lambda alpha_bar, dtype: (1 - alpha_bar).sqrt().to(dtype)
WRONG["check_noise_share"] = [
    lambda alpha_bar, dtype: (1 - alpha_bar.to(dtype)).sqrt(),
    lambda alpha_bar, dtype: (1 - alpha_bar).sqrt(),
    lambda alpha_bar, dtype: alpha_bar.sqrt().to(dtype),
]
RIGHT["check_passes"] = lambda steps, every: (2 * steps, -(-steps // every) + 1, -(-steps // every))
WRONG["check_passes"] = [
    lambda steps, every: (2 * steps, -(-steps // every), -(-steps // every)),
    lambda steps, every: (steps, -(-steps // every) + 1, -(-steps // every)),
    lambda steps, every: (2 * steps, steps // every + 1, steps // every),
    lambda steps, every: (2 * steps, steps + 1, steps),
]


def _largest(scales, misfits, limit):
    good = [scale for scale, each in zip(scales, misfits) if each.mean() <= limit]
    return good[-1] if good else scales[misfits.mean(1).argmin()]


RIGHT["check_largest_consistent"] = _largest
WRONG["check_largest_consistent"] = [
    lambda scales, misfits, limit: scales[misfits.mean(1).argmin()],
    lambda scales, misfits, limit: scales[-1],
    lambda scales, misfits, limit: next((w for w, each in zip(scales, misfits) if each.mean() <= limit), 1.0),
]


# 12_train_the_prior
ANSWERS["check_scaled_latents"] = (9, [3, 1, 1 / 9, 1 / 3, 81, "9", None, torch.zeros(2)])


def _standard(z, over=(0, 2, 3), power=1):
    return (z - z.mean(over, keepdim=True)) / z.std(over, keepdim=True) ** power


RIGHT["check_standardised"] = _standard
WRONG["check_standardised"] = [
    lambda z: _standard(z, (0, 1, 2, 3)),  # one for all channels
    lambda z: _standard(z, (2, 3)),
    lambda z: _standard(z, power=2),
    lambda z: z / z.std((0, 2, 3), keepdim=True),
    lambda z: (z - z.mean()) / z.std((0, 2, 3), keepdim=True),
]
RIGHT["check_v_to_clean"] = lambda a: 1 / (1 - a)
WRONG["check_v_to_clean"] = [lambda a: a / (1 - a), lambda a: 1 - a, lambda a: 1 / a, lambda a: 1 / (1 - a).sqrt(), lambda a: a]
RIGHT["check_dropped_texts"] = lambda texts, coins, share: torch.where(coins < share, 0, texts)
WRONG["check_dropped_texts"] = [
    lambda texts, coins, share: texts * (coins < share),  # as it is given
    lambda texts, coins, share: texts * (coins[0] >= share),
    lambda texts, coins, share: torch.where(coins < share, 1, texts),
    lambda texts, coins, share: texts,
]
RIGHT["check_chosen_checkpoint"] = lambda training, tuning: int(tuning.argmin())
WRONG["check_chosen_checkpoint"] = [
    lambda training, tuning: int(training.argmin()),
    lambda training, tuning: len(training) - 1,
    lambda training, tuning: int((training - tuning).abs().argmin()),
    lambda training, tuning: tuning.min(),  # the loss and not its number
]


def _nearest(samples, training, over=(2, 3, 4), side=1):
    rms = (samples[:, None] - training[None]).square().mean(over).sqrt()
    return rms.argmin(side), rms.amin(side)


RIGHT["check_nearest_training_picture"] = _nearest
WRONG["check_nearest_training_picture"] = [
    lambda samples, training: _nearest(samples, training, side=0),
    lambda samples, training: (_nearest(samples, training)[0], _nearest(samples, training)[1] ** 2),
    lambda samples, training: _nearest(samples, training)[1],
    lambda samples, training: _nearest(samples, training)[::-1],
]


def said(capsys, check, attempt):
    check(attempt)
    return capsys.readouterr().out.strip()


ALL = {name: getattr(exercises, name) for name in exercises.__all__ if name.startswith("check_")}
CHECKS = {name: check for name, check in ALL.items() if name not in ANSWERS}


def test_every_check_has_its_solution_and_two_mistakes():
    assert set(CHECKS) == set(RIGHT) == set(WRONG)
    assert all(len(mistakes) >= 2 for mistakes in WRONG.values())


@pytest.mark.parametrize("name", ANSWERS)
def test_a_word_or_a_number_is_checked(capsys, name):
    right, wrong = ANSWERS[name]
    assert said(capsys, ALL[name], right).startswith("right: ")
    assert said(capsys, ALL[name], ...) == "not attempted yet"
    for answer in [*wrong, lambda: right]:
        verdict = said(capsys, ALL[name], answer)
        assert verdict.startswith("not yet: ") and "hint(" in verdict and "\n" not in verdict


DIAGNOSED = {"check_conjugate_flip": 0, "check_best_shift": 0, "check_turned_error": 0, "check_hio_step": 0, "check_best_estimates": 0}
DIAGNOSED |= {"check_distinct_magnitudes": 0, "check_colour_mosaic": 0, "check_split": 0, "check_least_squares_near": 0}
DIAGNOSED |= {
    "check_inpainting_step": 0,
    "check_steepest_step": 0,
    "check_conjugate_gradient": 0,
    "check_guess_weight": 0,
    "check_noise_gain": 0,
}
DIAGNOSED |= {
    "check_guided": 0,
    "check_latent_step_of_two_texts": 0,
    "check_precision_weight": 0,
    "check_treg_step": 0,
    "check_choose_guidance": 0,
}
DIAGNOSED |= {"check_sign_test": 0, "check_decided_by_text": 0}
DIAGNOSED |= {"check_discrepancy_weight": 0, "check_descent": 0, "check_gamma_gradient": 0}
DIAGNOSED |= {"check_equivalent_omega": 0, "check_backwards": 0, "check_trust": 0, "check_tuned": 0}
DIAGNOSED |= {"check_evidence_gradient": 0, "check_kept_run": 0}
OF_THE_OTHERS = [
    "norm_gradient",
    "gluing",
    "through_the_network",
    "renoised",
    "ldps_step",
    "chosen_step",
    "without_a_gradient",
    "clean_estimate",
]
DIAGNOSED |= {f"check_{exercise}": 0 for exercise in OF_THE_OTHERS}
DIAGNOSED |= {"check_in_our_units": 0, "check_noise_share": 0, "check_passes": 0, "check_largest_consistent": 0}
DIAGNOSED |= {"check_not_worse": 0, "check_fair_lead": 0, "check_chosen_beforehand": 0, "check_pictures_needed": 0, "check_discordant": 0}
OF_DDIM = ["gaussian_noise", "tweedie", "ddim_step", "guide", "enough_steps", "walk_down", "rescaled_score", "from_v", "renoise"]
DIAGNOSED |= {f"check_{exercise}": 0 for exercise in OF_DDIM}
DIAGNOSED |= {"check_negation_loss": 0, "check_adam": 0, "check_pull_back": 1, "check_shortest_move": 2, "check_extra_guidance": 0}
DIAGNOSED |= {"check_gentle_rate": 0, "check_consistency_steps": 0, "check_cost": 0, "check_algorithm_step": 0, "check_dps_gradient": 0}
DIAGNOSED |= {"check_paired_difference": 0, "check_best_seed": 0}
DIAGNOSED |= {"check_standardised": 0, "check_v_to_clean": 0, "check_dropped_texts": 0, "check_chosen_checkpoint": 0}
DIAGNOSED |= {"check_nearest_training_picture": 0}


@pytest.mark.parametrize("name", DIAGNOSED)
def test_a_known_mistake_is_told_by_its_name(capsys, name):
    verdict = said(capsys, CHECKS[name], WRONG[name][DIAGNOSED[name]])
    assert verdict.count(". ") >= 2 and f'te.exercises.hint("{name.removeprefix("check_")}")' in verdict


@pytest.mark.parametrize(
    "change, told",
    [
        ({"LDPS": {"decoder"}}, "ẑ₀ depends on z_t through the U-Net"),
        ({"PSLD": {"U-Net", "decoder"}}, "the gluing term encodes"),
        ({"MPGD": {"U-Net", "decoder"}}, "behind the U-Net"),
        ({"TReg": {"decoder"}}, "without a gradient"),
    ],
)
def test_each_wrong_line_of_the_networks_that_are_passed_back_is_told(capsys, change, told):
    assert told in said(capsys, exercises.check_passes_back, PASSED_BACK | change)
    half = PASSED_BACK | dict.fromkeys(change, ...)
    assert said(capsys, exercises.check_passes_back, half) == "not attempted yet"
    lists = {method: [each.upper() for each in networks] for method, networks in PASSED_BACK.items()}
    assert said(capsys, exercises.check_passes_back, lists).startswith("right")


@pytest.mark.parametrize("found, right", [(3, True), (3.0, False), (torch.tensor(3), True), (torch.tensor(3.0), False), (True, False)])
def test_a_whole_number_is_an_integer(found, right):
    assert (exercises.difference(found, 3, tolerance=1e-4) == "") == right


@pytest.mark.parametrize("name", CHECKS)
def test_the_solution_is_right(capsys, name):
    assert said(capsys, CHECKS[name], RIGHT[name]) == "right"


@pytest.mark.parametrize("name", CHECKS)
def test_the_solution_is_right_whatever_torch_makes_by_default(capsys, name):
    torch.set_default_dtype(torch.float64)
    try:
        assert said(capsys, CHECKS[name], RIGHT[name]) == "right"
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_check_asks_the_same_numbers_whatever_torch_makes_by_default():
    numbers = uniform(3, 2), normal(3, 2)
    torch.set_default_dtype(torch.float64)
    try:
        same = uniform(3, 2), normal(3, 2)
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(each.dtype == torch.float64 and torch.equal(each.float(), number) for each, number in zip(same, numbers))


@pytest.mark.parametrize("name, mistake", [(name, i) for name in WRONG for i in range(len(WRONG[name]))])
def test_a_mistake_is_named_in_a_sentence(capsys, name, mistake):
    verdict = said(capsys, CHECKS[name], WRONG[name][mistake])
    assert verdict.startswith("not yet: ") and len(verdict) > 30 and "\n" not in verdict


@pytest.mark.parametrize("name", CHECKS)
def test_an_unfilled_stub_is_not_attempted(capsys, name):
    def unwritten(*_):
        raise NotImplementedError

    for stub in (lambda *_: ..., unwritten):
        assert said(capsys, CHECKS[name], stub) == "not attempted yet"
    assert "it returned None" in said(capsys, CHECKS[name], lambda *_: None)


@pytest.mark.parametrize("name", CHECKS)
def test_nonsense_gets_a_sentence(capsys, name):
    for nonsense in (lambda: 0, lambda *_: "zero", lambda *_: 1 / 0, lambda *_: torch.zeros(1, 2, 3), lambda *_: float("nan"), 3):
        verdict = said(capsys, CHECKS[name], nonsense)
        assert verdict.startswith("not yet: ") and "Traceback" not in verdict


@pytest.mark.parametrize(
    "found, expected, sentence",
    [
        (torch.zeros(2), torch.zeros(2, 1), "expected shape (2, 1), found (2,)"),
        (torch.tensor([0.0, 2.0]), torch.zeros(2), "at index (1,) expected 0, found 2"),
        (torch.tensor([0.0, torch.nan]), torch.zeros(2), "at index (1,) expected 0, found nan"),
        (torch.tensor(1.0), torch.tensor(2.0), "expected 2, found 1"),
        (torch.ones(2, dtype=torch.bool), torch.ones(2), "expected dtype torch.float32, found torch.bool"),
        ([1.0], torch.ones(1), "expected a tensor of shape (1,), found list"),
        (1.0, 2.0, "expected 2, found 1"),
        (True, 1, "expected 1, found True"),
        (float("nan"), 1.0, "expected 1, found nan"),
        ("a", "b", "expected 'b', found 'a'"),
        ((1.0, 2.0), (1.0, 3.0), "in result 2 of 2 expected 3, found 2"),
        (1.0, (1.0, 3.0), "expected 2 results, found float"),
    ],
)
def test_a_difference_is_half_a_sentence(found, expected, sentence):
    assert exercises.difference(found, expected, tolerance=1e-4) == sentence


@pytest.mark.parametrize(
    "found, expected",
    [
        (torch.ones(2).double(), torch.ones(2)),
        (torch.tensor(2.0), 2.0),
        (torch.tensor(torch.inf), torch.tensor(torch.inf)),
        ((1, "a"), (1, "a")),
    ],
)
def test_equal_is_equal(found, expected):
    assert exercises.difference(found, expected, tolerance=1e-4) == ""


def test_a_check_hands_out_copies(capsys):
    x = torch.ones(3)
    exercises.verdict(lambda a: a.mul_(2), [("ones", (x,), 2 * x), ("ones again", (x,), 2 * x)])
    assert capsys.readouterr().out == "right\n" and torch.equal(x, torch.ones(3))
