"""Which of its symmetric copies an image is retrieved as from |F P x|: with its text, with the null text, and by HIO.

|F P x| is the same for x and for x turned by 180°, channel by channel, so nothing in the measurement chooses.  What chooses is the prior,
and the text that it is given.
"""

import pandas as pd
import torch

from .. import metrics, phase_retrieval
from ..operators import FourierMagnitude
from ..priors import load_prior
from .quick import BATCH, SIGMA, UNGUIDED, held_out, make_folder, measured, reconstruct, write_report

COPIES = ("upright", "rotated", "mixed", "neither", "symmetric")


def retrieve(prior, operator, y, labels, seeds, settings):
    """{arm: (N, seeds, 3, H, W)}: each measurement retrieved from `seeds` starts of its own, by text also with pixel steps begun at HIO's.

    Of its own, since a start that turns one picture tends to turn the next: the intervals over images need independent ones.
    Negation is off: 06_adaptive_negation shows what it adds.
    """
    from tqdm.auto import tqdm

    starts = [range(i * seeds, (i + 1) * seeds) for i in range(len(y))]
    generators = [torch.Generator().manual_seed(seed) for own in starts for seed in own]
    by_hio = phase_retrieval.retrieve(operator, y.repeat_interleave(seeds, 0), generator=generators).x_hat
    by_hio, matched = (each.unflatten(0, (len(y), seeds)) for each in (by_hio, phase_retrieval.match_channels(by_hio)))
    null = [settings["null_prompt"]] * len(y)
    arms = {"true text": (labels, settings), "null text": (null, settings | UNGUIDED), "true text, from HIO": (labels, settings)}
    found = {}

    def retrieved(arm, i, first):
        texts, chosen = arms[arm]
        part = slice(first, first + BATCH)
        own = chosen | {"start": matched[i, part]} if "HIO" in arm else chosen
        return reconstruct(prior, operator, y[i : i + 1], [texts[i]], starts[i][part], False, own, bar.update)[0]

    with tqdm(total=len(arms) * len(y) * seeds, unit="image", desc="retrieving") as bar:
        for arm in arms:
            found[arm] = torch.stack([torch.cat([retrieved(arm, i, first) for first in range(0, seeds, BATCH)]) for i in range(len(y))])
    return found | {"HIO": by_hio, "HIO, channels matched": matched}


def grade(operator, y, x, labels, found):
    """One retrieval a row: the copy it is, and its RMS errors, as it stands and after the best alignment over the symmetries."""
    rows = []
    for arm, pictures in found.items():
        for i, x_hats in enumerate(pictures):
            truth = x[i : i + 1].expand_as(x_hats)
            columns = {
                "copy": phase_retrieval.copies(x_hats, truth),
                "error": (x_hats - truth).square().mean((1, 2, 3)).sqrt().tolist(),
                "aligned": phase_retrieval.align(x_hats, truth).error.tolist(),
                "y_mse": metrics.y_mse(operator, x_hats, y[i : i + 1]).tolist(),
            }
            rows += [
                {"arm": arm, "image": labels[i], "seed": seed} | dict(zip(columns, row)) for seed, row in enumerate(zip(*columns.values()))
            ]
    return pd.DataFrame(rows)


def summary(rows):
    """{arm: {figure: (mean, low, high)}}: the share of each copy and the errors, 95 % intervals over images."""
    table = {}
    for arm, part in rows.groupby("arm", sort=False):
        shares = pd.DataFrame({name: part["copy"] == name for name in COPIES})
        per_image = pd.concat([shares, part[["error", "aligned", "y_mse"]]], axis=1).groupby(part["image"], sort=False).mean()
        table[arm] = {name: metrics.confidence_interval(per_image[name].to_numpy()) for name in per_image}
    return table


def claim(rows, copy="upright", a="true text", b="null text"):
    """(mean, low, high) over images of the share of `copy` in arm a minus that in arm b."""
    shares = (rows["copy"] == copy).groupby([rows["arm"], rows["image"]]).mean().unstack(0)
    return metrics.confidence_interval((shares[a] - shares[b]).to_numpy())


def run(images=32, seeds=8, out="out", device="cpu"):
    """Print the table and the paired claims; write `phase.json` and `phase.parquet`."""
    from rich.console import Console
    from rich.table import Table

    x, labels, _ = held_out(images)
    make_folder(out)
    prior, operator = load_prior(device=device), FourierMagnitude()
    y = measured(operator, x)
    rows = grade(operator, y, x, labels, retrieve(prior, operator, y, labels, seeds, prior.recommended["treg"]))
    table = summary(rows)
    claims = {f"{copy}, true text − null text": claim(rows, copy) for copy in ("upright", "rotated")}
    title = f"Phase retrieval of {images} held-out images × {seeds} seeds, σ = {SIGMA}; 95 % intervals over images"
    printed = Table("", *COPIES, "error", "after alignment", title=title)
    for arm, figures in table.items():
        shares = ("{:.0%} [{:.0%}, {:.0%}]".format(*figures[name]) for name in COPIES)
        errors = ("{:.3f} [{:.3f}, {:.3f}]".format(*figures[name]) for name in ("error", "aligned"))
        printed.add_row(arm, *shares, *errors)
    Console(width=150).print(printed)
    for name, value in claims.items():
        print(f"{name}: " + "{:.1%} [{:.1%}, {:.1%}]".format(*value))
    report = {
        "images": images,
        "seeds": seeds,
        "settings": prior.recommended["treg"] | {"negation": None},
        "null text": UNGUIDED,
        "arms": table,
        "claims": claims,
    }
    write_report(out, "phase", rows, report)
    return report
