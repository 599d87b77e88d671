"""Every figure of the course, one function a figure. Each returns a matplotlib `Figure`, and shows nothing by itself."""

import io
import math

import matplotlib.figure
import matplotlib.patches
import numpy as np
import torch
from matplotlib.ticker import LogLocator, NullFormatter
from torch.nn import functional as F


class Figure(matplotlib.figure.Figure):
    """A matplotlib figure that a notebook shows when it is a cell's value, whatever backend is in use."""

    def _repr_png_(self):
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=90)
        return buffer.getvalue()


def _array(x):
    """One image (3, H, W) → (H, W, 3) for matplotlib."""
    return x.detach().float().clamp(0, 1).permute(1, 2, 0).cpu().numpy()


def _figure(width, height):
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def _label(axes, x, y):
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.tick_params(labelsize=8)


def _show(axes, image, title=None, note=None, colour="black"):
    axes.imshow(image, interpolation="nearest", vmin=0, vmax=1)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("0.75")
    if title:
        axes.set_title(title, fontsize=9, color=colour)
    if note:
        axes.set_xlabel(note, fontsize=8)


def _map(axes, values, top):
    drawn = axes.imshow(values.cpu().numpy(), cmap="magma", vmin=0, vmax=top)
    axes.set_xticks([])
    axes.set_yticks([])
    return drawn


def sample_sheet(x, captions=None, columns=8):
    """Images in rows of `columns`, each over its caption.  x: (N, 3, H, W)."""
    rows = math.ceil(len(x) / columns)
    figure = _figure(columns * 1.1, rows * 1.3)
    grid = np.atleast_2d(figure.subplots(rows, columns))
    for index, axes in enumerate(grid.flat):
        if index < len(x):
            _show(axes, _array(x[index]), note=captions and captions[index])
            axes.xaxis.label.set_size(6)
        else:
            axes.axis("off")
    return figure


def nearest_sheet(samples, neighbours, copies, columns=10):
    """Each sample beside the training image most like it, in pairs; a frame around those that count as near copies.

    samples, neighbours: (N, 3, H, W).  copies: N bools.
    """
    rows = math.ceil(len(samples) / columns)
    figure = _figure(columns * 1.15, rows * 0.62)
    grid = np.atleast_2d(figure.subplots(rows, columns))
    gap = torch.ones(3, samples.shape[-2], 4)
    for index, axes in enumerate(grid.flat):
        if index < len(samples):
            _show(axes, _array(torch.cat([samples[index], gap, neighbours[index].to(samples)], 2)))
            axes.spines[:].set(visible=copies[index], color="black", linewidth=1.5)
        else:
            axes.axis("off")
    return figure


def story(rows, operator):
    """The demo's picture: for each measurement, the truth, y, and reconstructions in titled groups, with A(x̂) under each.

    rows: [(truth, y, {title: (S, 3, H, W)}), …], every row with the same number of seeds per group.
    """
    widths = [len(group) for group in rows[0][2].values()]
    figure = _figure(1.0 * (2 + sum(widths)) + 0.25 * len(widths), 2.15 * len(rows))
    bands = figure.subfigures(len(rows), 1) if len(rows) > 1 else [figure]
    for band, (truth, y, groups) in zip(bands, rows):
        blocks = band.subfigures(1, 1 + len(groups), width_ratios=[2, *widths])
        blocks[0].suptitle("truth x, measurement y", fontsize=9)
        grid = blocks[0].subplots(2, 2)
        _show(grid[0, 0], _array(truth[0]))
        _show(grid[0, 1], _array(_enlarged(y, truth)))
        _show(grid[1, 0], _array(_enlarged(operator.A(truth), truth)), note="A(x)")
        grid[1, 1].axis("off")
        grid[1, 1].text(0.5, 0.5, "below each x̂:\nA(x̂), to be\ncompared with y", ha="center", va="center", fontsize=7)
        for block, (title, group) in zip(blocks[1:], groups.items()):
            block.suptitle(title, fontsize=9)
            grid = block.subplots(2, len(group), squeeze=False)
            for column, x_hat in enumerate(group):
                _show(grid[0, column], _array(x_hat))
                _show(grid[1, column], _array(_enlarged(operator.A(x_hat[None]), truth)), note="A(x̂)")
    return figure


def _enlarged(y, truth):
    """A measurement as an image of the truth's size, its pixels kept square."""
    return F.interpolate(y[:1], truth.shape[-2:], mode="nearest")[0]


def variance_maps(groups):
    """Where the reconstructions of one measurement disagree.  groups: {title: (S, 3, H, W)}; one map each, on one scale."""
    maps = {title: group.std(0).mean(0) for title, group in groups.items()}
    figure = _figure(2.6 * len(maps) + 0.8, 2.8)
    grid = figure.subplots(1, len(maps), squeeze=False)[0]
    top = max(float(m.max()) for m in maps.values())
    for axes, (title, values) in zip(grid, maps.items()):
        drawn = _map(axes, values, top)
        axes.set_title(f"{title}\nmean {float(values.mean()):.3f}", fontsize=9)
    figure.colorbar(drawn, ax=list(grid), label="deviation over seeds", shrink=0.8)
    return figure


def ladder(pictures, titles, notes=None):
    """Images side by side under their titles.  pictures: list of (3, H, W)."""
    figure = _figure(1.5 * len(pictures), 1.9)
    grid = figure.subplots(1, len(pictures), squeeze=False)[0]
    for index, (axes, picture) in enumerate(zip(grid, pictures)):
        _show(axes, _array(picture), titles[index], notes and notes[index])
    return figure


def measurement(x, y):
    """The image and what was measured of it, side by side.  x: (1, 3, H, W).  y: (1, C, h, w)."""
    figure = _figure(4.6, 2.6)
    left, right = figure.subplots(1, 2)
    _show(left, _array(x[0]), "x, the truth", f"{x.shape[-2]}×{x.shape[-1]} pixels")
    _show(right, _array(_enlarged(y, x)), "y = A(x) + n, all we have", f"{y.shape[-2]}×{y.shape[-1]} pixels")
    return figure


# 01_forward_operators


LINES = ["-", "--", ":", "-."]
"""So that curves are told apart in grey."""


def matrices(named):
    """Matrices side by side, darker where the entry is larger: √|M|, each on its own scale.  named: {title: (m, n)}."""
    figure = _figure(3 * len(named), 3.1)
    for axes, (title, matrix) in zip(figure.subplots(1, len(named), squeeze=False)[0], named.items()):
        axes.imshow(matrix.abs().sqrt().numpy(), cmap="Greys", aspect="auto", interpolation="nearest")
        axes.set_title(f"{title}: {matrix.shape[0]}×{matrix.shape[1]}", fontsize=9)
        _label(axes, "pixel of x", "number in y")
    return figure


def spectra(named, sigma):
    """Singular values in falling order, on a logarithmic scale, over the noise.  named: {label: (n,)}."""
    figure = _figure(7, 3.4)
    axes = figure.subplots()
    for style, (label, values) in zip(LINES, named.items()):
        axes.semilogy(range(1, len(values) + 1), values.clamp(min=1e-30), style, linewidth=2, label=label)
    axes.axhline(sigma, color="0.4", linewidth=0.8)
    axes.text(1, sigma, f" σ = {sigma:g}", fontsize=9, va="bottom")
    axes.set_ylim(1e-6, 2)
    _label(axes, "index i of the singular value", "singular value s_i")
    axes.legend(fontsize=9, loc="lower left")
    return figure


def truncation(kept, lost, noise, measured):
    """What a pseudo-inverse of `kept` singular values leaves out, what noise it lets in, and the error that was measured.

    kept, lost, noise: (K,).  measured: (mean, low, high), each (K,).
    """
    kept, lost, noise, mean, low, high = map(np.asarray, (kept, lost, noise, *measured))
    figure = _figure(7, 3.4)
    axes = figure.subplots()
    axes.loglog(kept, lost, "--", color="tab:blue", label="detail left out")
    axes.loglog(kept, noise, ":", color="tab:red", linewidth=2, label="noise let in, σ √(Σ 1/s² / N)")
    axes.errorbar(kept, mean, [mean - low, high - mean], fmt="ok", markersize=4, capsize=3, label="error, measured")
    _label(axes, "singular values kept", "root mean square per pixel")
    axes.legend(fontsize=9)
    return figure


def sweep(weights, problems):
    """PSNR over the weight λ, one plot a problem, one curve a method.  problems: {title: {method: (L,)}}."""
    columns = min(3, len(problems))
    rows = math.ceil(len(problems) / columns)
    figure = _figure(2.9 * columns, 2.2 * rows + 0.4)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True).flat
    for (title, curves), axes in zip(problems.items(), grid):
        for style, (method, values) in zip(LINES, curves.items()):
            axes.semilogx(weights, values, style + "o", markersize=4, label=method)
        axes.set_title(title, fontsize=9)
        _label(axes, "λ", "PSNR in dB")
    for axes in grid:
        axes.axis("off")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(LINES), fontsize=9)
    return figure


def tone_curves(grey, curves, errors):
    """Left, gamma curves; right, the error of going back, predicted (lines) and measured (dots).

    grey: (N,).  curves: {label: (N,)}.  errors: {label: (predicted, measured)}, each (N,).
    """
    figure = _figure(8, 3.2)
    left, right = figure.subplots(1, 2)
    for style, (label, values) in zip(LINES, curves.items()):
        left.plot(grey, values, style, label=label)
    for style, (label, (predicted, measured)) in zip(LINES, errors.items()):
        (line,) = right.semilogy(grey, predicted, style, label=label)
        right.semilogy(grey, measured, "o", markersize=4, color=line.get_color())
    for axes, name in ((left, "A(x)"), (right, "root mean square error of A†y")):
        _label(axes, "grey level x", name)
        axes.legend(fontsize=9)
    right.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    right.yaxis.set_major_formatter("{x:g}")
    right.yaxis.set_minor_formatter(NullFormatter())
    return figure


# 02_phase_retrieval_symmetries


def over_magnitudes(pictures, titles, notes=None):
    """Pictures over the logarithms of their Fourier magnitudes, zero frequency in the middle, all on one scale.

    pictures: list of (3, H, W).  Where the mean of one is negative, all are drawn with 0 as mid-grey.
    """
    signed = any(float(picture.mean()) < 0 for picture in pictures)
    logs = [torch.fft.fftshift(torch.fft.fft2(picture, norm="ortho").abs().mean(0)).clamp(min=1e-2).log10() for picture in pictures]
    figure = _figure(1.55 * len(pictures), 3.7)
    grid = figure.subplots(2, len(pictures), squeeze=False)
    for index, (picture, log) in enumerate(zip(pictures, logs)):
        _show(grid[0, index], _array((1 + picture) / 2 if signed else picture), titles[index], notes and notes[index])
        _show(grid[1, index], log.cpu().numpy())
        grid[1, index].images[0].set(cmap="gray", clim=(-2, max(float(each.max()) for each in logs)))
    for axes, name in zip(grid[:, 0], ["picture", "log |F x|"]):
        axes.set_ylabel(name, fontsize=9)
    return figure


def convergence(walks, floor=None):
    """Residuals along iterations, one line a start.  walks: {label: (iterations, starts)}.  floor: drawn as a level, the noise."""
    figure = _figure(8.5, 3.2)
    axes = figure.subplots()
    styles = [dict(color="0.6", linestyle="--"), dict(color="tab:blue"), dict(color="tab:red", linestyle=":")]
    for (label, residuals), style in zip(walks.items(), styles):
        for index, line in enumerate(residuals.T):
            axes.plot(range(1, len(line) + 1), line.cpu(), linewidth=1, label=None if index else label, **style)
    if floor:
        axes.axhline(floor, color="black", linewidth=0.8)
        axes.annotate("noise σ", (1, floor), xytext=(2, 3), textcoords="offset points", fontsize=8)
    axes.set_yscale("log")
    _label(axes, "iteration", "residual, RMS of |F x̂| − y")
    axes.legend(fontsize=9, loc="upper right")
    return figure


def copies_found(orientations, shares, chance, coin):
    """Left, how the orientations of channels spread; right, the shares of whole pictures by name, beside those of chance.

    orientations: {method: (N,)}, in [−1, 1].  shares: {method: {name: (mean, low, high)}}.  chance: {name: share}.  coin: what they are the chances of, for the legend.
    """
    figure = _figure(8.5, 3.2)
    left, right = figure.subplots(1, 2)
    styles = [dict(color="0.85", hatch=""), dict(color="tab:blue", hatch="///"), dict(color="tab:red", hatch="...")]
    values = [np.asarray(each) for each in orientations.values()]
    of_all = {name: [style[name] for style in styles[: len(values)]] for name in styles[0]}
    weights = [np.full(len(each), 1 / len(each)) for each in values]
    left.hist(values, np.linspace(-1.05, 1.05, 8), weights=weights, label=list(orientations), edgecolor="black", lw=0.5, **of_all)
    left.set_xlabel("orientation of a channel: −1 turned, 1 upright", fontsize=9)
    left.set_ylabel("share of channels", fontsize=9)
    left.legend(fontsize=9)
    names, width = list(chance), 0.8 / len(shares)
    for index, ((method, found), style) in enumerate(zip(shares.items(), styles)):
        mean, low, high = np.array([found[name] for name in names]).T
        places = np.arange(len(names)) + (index + 0.5) * width - 0.4
        right.bar(places, mean, width, yerr=[mean - low, high - mean], capsize=3, **style, edgecolor="black", lw=0.5, label=method)
    for place, name in enumerate(names):
        (line,) = right.plot([place - 0.45, place + 0.45], [chance[name]] * 2, color="black", linestyle="--", linewidth=1.2)
    line.set_label(coin)
    right.set_xticks(range(len(names)), names, fontsize=9)
    right.set_ylabel("share of pictures, 95 % interval", fontsize=9)
    right.set_ylim(0, 1)
    right.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    left.tick_params(labelsize=8)
    right.tick_params(axis="y", labelsize=8)
    return figure


def found_shifts(dy, dx, rotated, rows, columns):
    """Where each start put the picture, and which way up.  dy, dx: (N,), pixels.  rotated: (N,), bool.

    rows, columns: the lowest and the highest shift that keeps the picture inside its support; drawn as a frame.
    """
    figure = _figure(4.6, 4)
    axes = figure.subplots()
    axes.add_patch(matplotlib.patches.Rectangle((columns[0], rows[0]), columns[1] - columns[0], rows[1] - rows[0], fill=False, color="0.5"))
    for turned, marker, colour, label in ((False, "^", "tab:blue", "upright"), (True, "v", "tab:red", "turned by 180°")):
        chosen = rotated == turned
        axes.scatter(dx[chosen], dy[chosen], marker=marker, color=colour, s=30, alpha=0.8, label=label)
    axes.plot(0, 0, "+", color="black", markersize=14, label="the truth")
    _label(axes, "shift to the right, pixels", "shift down, pixels")
    axes.invert_yaxis()
    axes.set_aspect("equal")
    figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    return figure


# 03_ddim


def picture_rows(rows, columns=None):
    """Rows of images, each after its name.  rows: {name: (N, 3, H, W)}, N the same in all.  columns: N titles over the first row."""
    count = len(next(iter(rows.values())))
    figure = _figure(count + 1.1, 1.02 * len(rows) + 0.25)
    grid = figure.subplots(len(rows), count, squeeze=False)
    for line, (name, pictures) in zip(grid, rows.items()):
        for axes, picture in zip(line, pictures):
            _show(axes, _array(picture))
        line[0].set_ylabel(name, fontsize=9, rotation=0, ha="right", va="center")
    for axes, title in zip(grid[0], columns or []):
        axes.set_title(title, fontsize=9)
    return figure


def noising(pictures, levels, alpha_bar):
    """An image under rising noise, over the weights √ᾱ_t of the image and √(1 − ᾱ_t) of the noise.

    pictures: (N, 3, H, W), at the N timesteps `levels`.  alpha_bar: (T,), of all timesteps.
    """
    figure = _figure(8.5, 3.9)
    top, bottom = figure.subfigures(2, 1, height_ratios=[1, 1.7])
    for axes, picture, t in zip(top.subplots(1, len(pictures), squeeze=False)[0], pictures, levels):
        _show(axes, _array(picture), f"t = {t}")
    axes = bottom.subplots()
    axes.plot(alpha_bar.sqrt(), color="tab:blue", label="√ᾱ, weight of the image")
    axes.plot((1 - alpha_bar).sqrt(), color="tab:red", linestyle="--", label="√(1 − ᾱ), deviation of the noise")
    for t in levels:
        axes.axvline(t, color="0.8", linewidth=0.8, zorder=0)
    axes.set_xlabel("t", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.legend(fontsize=9, loc="center right")
    return figure


def scores(z, levels):
    """Densities of one number z at some noise levels, and under each what is said to be its score.

    z: (N,).  levels: {title: (density (N,), {label: score (N,)})}; the first score is drawn broad, the others over it.
    """
    styles = [dict(color="0.75", linewidth=6), dict(color="tab:blue", linestyle="--"), dict(color="tab:red", linestyle=":", linewidth=2)]
    figure = _figure(8.5, 4)
    grid = figure.subplots(2, len(levels), squeeze=False, sharex=True, sharey="row")
    for (above, below), (title, (density, candidates)) in zip(grid.T, levels.items()):
        above.fill_between(z, density, color="0.75")
        above.set_title(title, fontsize=9)
        for style, (label, values) in zip(styles, candidates.items()):
            below.plot(z, values, label=label, **style)
        below.axhline(0, color="0.5", linewidth=0.5)
        below.set_xlabel("z", fontsize=9)
        for axes in (above, below):
            axes.tick_params(labelsize=8)
    grid[0, 0].set_ylabel("density of z", fontsize=9)
    grid[1, 0].set_ylabel("score", fontsize=9)
    figure.legend(*grid[1, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9)
    return figure


def paths(t, z, density, walks):
    """Ways from noise to data over the densities they cross, each column of which is shaded by its own maximum.

    t: (T,).  z: (N,).  density: (N, T).  walks: {title: (timesteps (K,), z at them (K, P))}.
    """
    figure = _figure(8.5, 3.4)
    grid = figure.subplots(1, len(walks), squeeze=False, sharey=True)[0]
    for axes, (title, (timesteps, values)) in zip(grid, walks.items()):
        axes.pcolormesh(t, z.numpy(), (density / density.amax(0)).numpy(), cmap="Greys", vmax=1.6, shading="nearest")
        axes.plot(timesteps, values, color="tab:blue", linewidth=0.9)
        axes.set_xlim(max(t), min(t))
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("t (noise on the left, data on the right)", fontsize=9)
        axes.tick_params(labelsize=8)
    grid[0].set_ylabel("z", fontsize=9)
    return figure


# 04_latent_data_consistency


def over_measurements(pictures, titles, operator, notes=None):
    """Pictures over what would be measured of them, each on a scale from 0 to 1.  pictures: (N, 3, H, W).  notes: N lines under all."""
    figure = _figure(1.45 * len(pictures) + 0.4, 3.5)
    grid = figure.subplots(2, len(pictures), squeeze=False)
    for index, (picture, seen) in enumerate(zip(pictures, operator.A(pictures))):
        _show(grid[0, index], _array(picture), titles[index])
        _show(grid[1, index], _array(seen), note=notes and notes[index])
    for axes, name in zip(grid[:, 0], ["picture", "A(picture)"]):
        axes.set_ylabel(name, fontsize=9)
    return figure


def cg_iterations(counts, walks, sigma):
    """Conjugate gradient, iteration by iteration: how far from the closed form, and how well y is met.

    counts: K numbers of iterations.  walks: {operator: (distance (K,), residual (K,))}.  sigma: the noise, drawn as a level.
    """
    styles = [
        dict(color="tab:blue", marker="o"),
        dict(color="tab:red", marker="s", linestyle="--"),
        dict(color="0.3", marker="^", linestyle=":"),
    ]
    figure = _figure(8.5, 3.2)
    left, right = figure.subplots(1, 2)
    for (name, (distance, residual)), style in zip(walks.items(), styles):
        left.plot(counts, distance, label=name, markersize=4, linewidth=1.2, **style)
        right.plot(counts, residual, label=name, markersize=4, linewidth=1.2, **style)
    right.axhline(sigma, color="black", linewidth=0.8)
    right.annotate("noise σ", (counts[-1], sigma), xytext=(0, -10), textcoords="offset points", fontsize=8, ha="right")
    for axes, name in ((left, "RMS distance to the closed form"), (right, "RMS of y − A(x̂)")):
        axes.set_yscale("log")
        axes.xaxis.get_major_locator().set_params(integer=True)
        _label(axes, "iteration", name)
    left.legend(fontsize=9)
    return figure


def pixel_step(start, walk, closed, residuals, sigma):
    """The start, the last image of a walk and the closed form it goes to, beside the residuals on the way.

    start, closed: (3, H, W).  walk: (K + 1, 3, H, W), from iteration 0 on.  residuals: (K + 1,), RMS of y − A(x̂).
    """
    figure = _figure(8.5, 2.5)
    pictures, plot = figure.subfigures(1, 2, width_ratios=[3, 2])
    titles = ["x, where it starts", f"x̂, iteration {len(walk) - 1}", "x̂, closed form"]
    for axes, picture, title in zip(pictures.subplots(1, 3), [start, walk[-1], closed], titles):
        _show(axes, _array(picture), title)
    axes = plot.subplots()
    axes.plot(residuals, color="tab:blue", marker="o", markersize=3, linewidth=1)
    axes.axhline(sigma, color="black", linewidth=0.8, label="noise σ")
    axes.set_yscale("log")
    axes.set_xlabel("iteration", fontsize=9)
    axes.set_ylabel("RMS of y − A(x̂)", fontsize=9)
    axes.tick_params(labelsize=8, which="both")
    axes.legend(fontsize=8)
    return figure


def along_trajectory(curves, levels):
    """How well y is met from noise to data.  curves: {label: (timesteps, mean, low, high)}.  levels: {name: value}."""
    styles = [dict(color="0.5", linestyle="--"), dict(color="tab:blue", marker="o"), dict(color="tab:red", marker="s", linestyle=":")]
    figure = _figure(8.5, 3.6)
    axes = figure.subplots()
    for (label, (t, mean, low, high)), style in zip(curves.items(), styles):
        axes.plot(t, mean, label=label, markersize=4, linewidth=1.2, **style)
        axes.fill_between(t, low, high, color=style["color"], alpha=0.2, linewidth=0)
    for name, value in levels.items():
        axes.axhline(value, color="black", linewidth=0.8)
        axes.annotate(
            name, (1, value), xytext=(-2, 3), textcoords="offset points", xycoords=axes.get_yaxis_transform(), fontsize=8, ha="right"
        )
    axes.invert_xaxis()
    axes.set_yscale("log")
    _label(axes, "t (noise on the left, data on the right)", "RMS of y − A(·), 95 % interval")
    axes.legend(fontsize=9)
    return figure


# 05_text_regularization


def seeds_and_deviation(groups, columns=8):
    """For each text its reconstructions of one measurement, their mean, and the deviation of every pixel, on one scale.

    groups: {title: (S, 3, H, W)}, S ≥ 2; the seeds in rows of `columns`.
    """
    deviations = {title: group.std(0).mean(0) for title, group in groups.items()}
    top = max(float(values.max()) for values in deviations.values())
    count = max(map(len, groups.values()))
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    side = max(rows, 1.5)
    figure = _figure(min(10, 1 + 0.95 * (columns + 2 * side)), (0.85 * side + 0.35) * len(groups))
    bands = figure.subfigures(len(groups), 1, squeeze=False)[:, 0]
    for band, (title, group) in zip(bands, groups.items()):
        left, right = band.subfigures(1, 2, width_ratios=[columns, 2.3 * side])
        left.suptitle(f"{title}, {len(group)} seeds", fontsize=9)
        for index, axes in enumerate(left.subplots(rows, columns, squeeze=False).flat):
            if index < len(group):
                _show(axes, _array(group[index]))
            else:
                axes.axis("off")
        mean, deviation = right.subplots(1, 2)
        _show(mean, _array(group.mean(0)), "mean")
        drawn = _map(deviation, deviations[title], top)
        deviation.set_title(f"deviation, mean {float(deviations[title].mean()):.2f}", fontsize=9)
        right.colorbar(drawn, ax=deviation, shrink=0.8).ax.tick_params(labelsize=8)
    return figure


def text_weight(t, weight, is_marked):
    """The share of the measurement and of the text in the latent step, against t; dots where the step is taken.

    t: (T,), falling.  weight: ᾱ at the level below each, (T,).  is_marked: (T,), bool.
    """
    t, weight, is_marked = (each.numpy() for each in (t, weight, is_marked))
    figure = _figure(8.5, 3.2)
    axes = figure.subplots()
    axes.fill_between(t, 0, weight, color="tab:blue", alpha=0.35, linewidth=0)
    axes.fill_between(t, weight, 1, color="0.9", linewidth=0)
    axes.plot(t, weight, color="black", linewidth=1)
    axes.plot(t[is_marked], weight[is_marked], "o", color="black", markersize=5, clip_on=False, label="consistency steps, Γ")
    axes.axhline(0.5, color="0.4", linestyle="--", linewidth=0.8)
    for share, place, name in ((0.78, 0.3, "1 − ᾱ, the text: ẑ₀"), (0.2, 0.85, "ᾱ, the measurement: E(x̂)")):
        axes.text(place, share, name, transform=axes.transAxes, ha="center", va="center", fontsize=10)
    axes.set_xlim(t.max(), t.min())
    axes.set_ylim(0, 1)
    _label(axes, "t (noise on the left, data on the right)", "weight in the latent step")
    axes.legend(fontsize=9, loc="upper left")
    return figure


def texts(x, y, groups, operator):
    """One measurement under several texts: a column each, over what the instrument would measure of the last reconstruction in it.

    x: (1, 3, H, W).  y: (1, C, h, w).  groups: {text: (S, 3, H, W)}, S the same in all.
    """
    count = len(next(iter(groups.values())))
    figure = _figure(1.45 * (len(groups) + 1), 1.5 * (count + 1))
    grid = figure.subplots(count + 1, len(groups) + 1)
    for axes in grid[1:-1, 0]:
        axes.axis("off")
    _show(grid[0, 0], _array(x[0]), "truth x")
    _show(grid[-1, 0], _array(_enlarged(y, x)), note="measured: y")
    for column, (text, group) in zip(grid[:, 1:].T, groups.items()):
        for axes, x_hat in zip(column, group):
            _show(axes, _array(x_hat))
        column[0].set_title(text, fontsize=10)
        _show(column[-1], _array(_enlarged(operator.A(group[-1:]), x)), note="A(x̂) of the x̂ above")
    return figure


def paired(values, names, label):
    """One figure of every image under two conditions, joined by a line.  values: {condition: (N,)}, two.  names: N strings."""
    (first, a), (second, b) = ((condition, np.asarray(each)) for condition, each in values.items())
    order = np.argsort(a)
    places = np.arange(len(a))
    figure = _figure(8.5, 0.8 + 0.24 * len(a))
    axes = figure.subplots()
    axes.hlines(places, np.minimum(a, b)[order], np.maximum(a, b)[order], color="0.6", linewidth=1.2, zorder=1)
    axes.scatter(a[order], places, color="white", edgecolor="black", s=36, label=first, zorder=2)
    axes.scatter(b[order], places, color="tab:blue", edgecolor="black", marker="s", s=30, label=second, zorder=2)
    axes.set_yticks(places, [names[i] for i in order], fontsize=8)
    axes.set_xlim(left=0)
    axes.set_xlabel(label, fontsize=9)
    axes.tick_params(axis="x", labelsize=8)
    axes.legend(fontsize=9, loc="lower right")
    return figure


# 06_adaptive_negation


def negation_losses(t, walks, iterations=10):
    """The loss along a run: within a call of negation a straight line, between two calls a jump, because the estimate has changed.

    t: K timesteps with a call.  walks: {label: (before, after)}, the loss at the ends of each call, (K,).
    """
    styles = [dict(color="0.5"), dict(color="tab:blue", marker="o"), dict(color="tab:red", marker="s")]
    figure = _figure(8.5, 3.4)
    axes = figure.subplots()
    starts = iterations * np.arange(len(t))
    for (label, (before, after)), style in zip(walks.items(), styles):
        for index, (start, ends) in enumerate(zip(starts, zip(before, after))):
            axes.plot([start, start + iterations], ends, markersize=3, linewidth=1.8, label=None if index else label, **style)
        joined = np.stack([starts, starts + iterations], 1).ravel()
        axes.plot(joined, np.stack([before, after], 1).ravel(), "--", color=style["color"], linewidth=1.2)
    for start in starts:
        axes.axvline(start, color="0.9", linewidth=0.8, zorder=-1)
    top = axes.secondary_xaxis("top")
    top.set_xticks(starts, [str(each) for each in t])
    top.set_xlabel("t, at which the call is made", fontsize=9)
    axes.set_xlabel("iteration of Adam, over the run", fontsize=9)
    axes.set_ylabel("sim(T_img(x̂), c_∅)", fontsize=9)
    for each in (axes, top):
        each.tick_params(labelsize=8)
    axes.legend(fontsize=9)
    return figure


def found_among(ranks, count):
    """The share of pictures whose own label is among the k nearest of `count`, over k.  ranks: {label: (N,)}, 0 is the nearest."""
    places = np.arange(1, count + 1)
    figure = _figure(7, 3.2)
    axes = figure.subplots()
    for style, (label, values) in zip(LINES, ranks.items()):
        axes.semilogx(places, (np.asarray(values)[:, None] < places).mean(0), style, linewidth=2, label=label)
    axes.semilogx(places, places / count, color="0.5", linewidth=0.8, label="chance")
    axes.set_xlabel(f"k, of {count} labels", fontsize=9)
    axes.set_ylabel("share of pictures with\ntheir own label among k", fontsize=9)
    axes.set_ylim(0, 1)
    axes.tick_params(labelsize=8)
    axes.legend(fontsize=9)
    return figure


def null_directions(shifts, losses, marks):
    """How the U-Net's error on a noised picture changes when its text is moved along a direction.

    shifts: S numbers.  losses: {direction: (mean, low, high)}, each (S,), relative to no move.  marks: {name: shift}.
    """
    colours = ["tab:blue", "tab:red", "0.55", "black"]
    figure = _figure(8.5, 3.6)
    axes = figure.subplots()
    for style, colour, (label, (mean, low, high)) in zip(LINES, colours, losses.items()):
        axes.plot(shifts, mean, style, marker="o", markersize=4, color=colour, label=label)
        axes.fill_between(shifts, low, high, color=colour, alpha=0.12, linewidth=0)
    axes.axhline(1, color="0.5", linewidth=0.8)
    for name, shift in marks.items():
        axes.axvline(shift, color="0.5", linewidth=0.8, linestyle=":")
        axes.annotate(name, (shift, 0), xytext=(3, 4), xycoords=axes.get_xaxis_transform(), textcoords="offset points", fontsize=8)
    _label(
        axes,
        "move of the null text, RMS per number: < 0 away from the picture, > 0 towards it",
        "error of the noise estimate,\nrelative to no move",
    )
    axes.legend(fontsize=9)
    return figure


def effects(named):
    """Differences with their 95 % intervals, one plot a measure, one row a setting.  named: {measure: {setting: (mean, low, high)}}."""
    count = len(next(iter(named.values())))
    figure = _figure(8.5, 0.9 + 0.3 * count)
    grid = figure.subplots(1, len(named), squeeze=False, sharey=True)[0]
    for axes, (measure, settings) in zip(grid, named.items()):
        mean, low, high = np.array(list(settings.values())).T
        axes.axvline(0, color="0.5", linewidth=0.8)
        axes.errorbar(mean, np.arange(count), xerr=[mean - low, high - mean], fmt="ok", markersize=5, capsize=3)
        axes.set_yticks(np.arange(count), list(settings))
        axes.set_xlabel(measure, fontsize=9)
        axes.tick_params(labelsize=8)
    grid[0].invert_yaxis()
    return figure


def negation_trajectory(rows, t, losses, moves):
    """Estimates along a run in rows, over the loss and how far the null text has moved.

    rows: {name: (K, 3, H, W)}.  t: K timesteps.  losses: {name: (K,)}.  moves: {name: (K,)}, RMS per number of c_∅.
    """
    figure = _figure(max(6, 0.8 * len(t) + 1.4), 0.8 * len(rows) + 2.6)
    top, bottom = figure.subfigures(2, 1, height_ratios=[0.8 * len(rows) + 0.3, 2.3])
    for line, (name, pictures) in zip(top.subplots(len(rows), len(t), squeeze=False), rows.items()):
        for axes, picture in zip(line, pictures):
            _show(axes, _array(picture))
        line[0].set_ylabel(name, fontsize=9, rotation=0, ha="right", va="center")
    for axes, each in zip(top.axes, t):
        axes.set_title(f"t = {each}", fontsize=8)
    styles = [dict(color="0.5", linestyle="--", marker="o"), dict(color="tab:blue", marker="s")]
    for axes, curves, label in zip(bottom.subplots(1, 2), (losses, moves), ("sim(T_img(x̂), c_∅)", "c_∅ has moved, RMS")):
        for (name, values), style in zip(curves.items(), styles):
            axes.plot(t, values, markersize=4, linewidth=1.2, label=name, **style)
        axes.invert_xaxis()
        _label(axes, "t (noise on the left, data on the right)", label)
        axes.legend(fontsize=9)
    return figure


# 07_treg


def problems(x, solved):
    """Every picture and every instrument: a row for a picture, and for each instrument what it measured beside what was made of it.

    x: (N, 3, H, W).  solved: {instrument: {column: (N, C, h, w)}}, smaller pictures drawn with square pixels.
    """
    widths = [len(columns) for columns in solved.values()]
    figure = _figure(0.95 * (1 + sum(widths)) + 0.15 * len(widths), 0.95 * len(x) + 0.55)
    blocks = figure.subfigures(1, 1 + len(widths), width_ratios=[1, *widths])
    for block, (title, columns) in zip(blocks, {" ": {"truth x": x}, **solved}.items()):
        block.suptitle(title, fontsize=9)
        grid = block.subplots(len(x), len(columns), squeeze=False)
        for line, (name, pictures) in zip(grid.T, columns.items()):
            for axes, picture in zip(line, pictures):
                _show(axes, _array(_enlarged(picture[None], x)))
            line[0].set_title(name, fontsize=8)
    return figure


def retrieved(x, arms, labels):
    """Pictures retrieved from their magnitudes, each under a mark for the copy that it is.

    x: (N, 3, H, W).  arms: {name: ((N, 3, H, W), N names of copies)}.  labels: N titles.
    """
    marks = {"upright": ("▲ upright", "black"), "rotated": ("▼ rotated", "tab:red")}
    figure = _figure(len(x) + 1.1, 1.12 * (1 + len(arms)) + 0.2)
    grid = figure.subplots(1 + len(arms), len(x), squeeze=False)
    for axes, picture, label in zip(grid[0], x, labels):
        _show(axes, _array(picture), label)
    for line, (pictures, copies) in zip(grid[1:], arms.values()):
        for axes, picture, copy in zip(line, pictures, copies):
            text, colour = marks.get(copy, (copy, "0.4"))
            _show(axes, _array(picture))
            axes.set_xlabel(text, fontsize=8, color=colour)
    for line, name in zip(grid, ["truth x", *arms]):
        line[0].set_ylabel(name, fontsize=9, rotation=0, ha="right", va="center")
    return figure


def solver(pictures, estimates, t, misfit, sigma):
    """One whole run: what went in and came out, over the estimate along the way, over how well it explains the measurement.

    pictures: {title: (3, h, w)}.  estimates: (K, 3, H, W), at K timesteps t.  misfit: {timestep: RMS of y − A(x̂)}.  sigma: the noise.
    """
    figure = _figure(max(8.5, 0.95 * len(t)), 5.6)
    top, middle, bottom = figure.subfigures(3, 1, height_ratios=[2, 1.3, 2])
    for axes, (title, picture) in zip(top.subplots(1, len(pictures), squeeze=False)[0], pictures.items()):
        _show(axes, _array(picture), title)
    for axes, picture, each in zip(middle.subplots(1, len(t), squeeze=False)[0], estimates, t):
        _show(axes, _array(picture), f"t = {each}")
    axes = bottom.subplots()
    label = "x̂, after the pixel step; at the run's end D(ẑ)"
    axes.plot(list(misfit), list(misfit.values()), "o-", color="tab:blue", markersize=4, linewidth=1.2, label=label)
    axes.axhline(sigma, color="black", linewidth=0.8, label="noise σ")
    axes.invert_xaxis()
    axes.set_yscale("log")
    axes.set_xlabel("t (noise on the left, data on the right)", fontsize=9)
    axes.set_ylabel("RMS of y − A(x̂)", fontsize=9)
    axes.tick_params(labelsize=8, which="both")
    axes.legend(fontsize=8)
    return figure
