"""What text does to an inverse problem, in one experiment: ×16 super-resolution of held-out images, under three texts.

Each measurement of 4×4 pixels is solved with the true text, with the null text, and with another text, negation on and off.
`demo` is the short form with a picture; `run` the one whose intervals are quoted.
"""

from pathlib import Path

import numpy as np
import torch

from .. import checks, files, images, metrics, operators
from ..images import SIBLINGS
from ..judge import load_judge
from ..priors import load_prior
from ..solvers import treg

FACTOR, SIGMA = 16, 0.005  # the paper's σ = 0.01 is for images in [−1, 1]
NOISE_SEED = 10_000  # far from the seeds of the solver
BATCH = 16
UNGUIDED = {"guidance_scale": 1.0}  # where c = c_∅, no ω changes anything

#       name                    whose text  negation
ARMS = {
    "true text": ("true", True),
    "null text": ("null", False),
    "another text": ("other", True),
    "true text, no negation": ("true", False),
    "another text, no negation": ("other", False),
}


def held_out(count):
    """`count` held-out images of distinct concepts, their labels, and for each the text of another: (x, labels, others).

    The other text is the label of another concept whose training images look most alike when measured: a wrong text that could be
    true, as macarons for ice cream in the paper. It is the wrong text that the data resist least.
    """
    most = images.captions().query("split == 'heldout'")["concept"].nunique()
    checks.integer("images", count, 1, most)
    x, labels = images.examples(count)
    pictures, rows = images.load("train")
    operator = operators.SuperResolution(FACTOR)
    names = sorted(set(rows["label"]))
    of_concept = {name: rows.index[rows["label"] == name].to_list() for name in names}
    coarse = torch.stack([operator.A(pictures[of_concept[name]]).mean(0).flatten() for name in names])
    distance = torch.cdist(operator.A(x).flatten(1), coarse)
    for i, label in enumerate(labels):
        for j, name in enumerate(names):
            if set(name.split()) & set(label.split()):  # "dog face" is no other thing than "dog"
                distance[i, j] = float("inf")
    return x, labels, [names[j] for j in distance.argmin(1)]


def reconstruct(prior, operator, y, texts, seeds, negation, settings, advance=lambda n: None):
    """Each measurement with its text and every seed: y (N, …), N texts → (N, S, 3, H, W)."""
    jobs = [(i, seed) for i in range(len(y)) for seed in seeds]
    done = []
    for start in range(0, len(jobs), BATCH):
        part = jobs[start : start + BATCH]
        chosen = [i for i, _ in part]
        *_, last = treg(
            prior,
            operator,
            y[chosen],
            [texts[i] for i in chosen],
            seed=[seed for _, seed in part],
            **(settings if negation else settings | {"negation": None}),
        )
        done.append(last.x_hat.float().cpu())
        advance(len(part))
    return torch.cat(done).unflatten(0, (len(y), len(seeds)))


def grade(judge, operator, y, x, x_hats, text, label_set):
    """One reconstruction a row: what the judge sees in it, and how well it explains the measurement and the truth."""
    names, _ = metrics.top_k(judge, x_hats, label_set)
    return {
        "top1": [found[0] == text for found in names],
        "top5": [text in found for found in names],
        "similarity": metrics.similarity(judge, x_hats, text).tolist(),
        "y_mse": metrics.y_mse(operator, x_hats, y).tolist(),
        "psnr": metrics.psnr(x_hats, x).tolist(),
    }


def measured(operator, x):
    """y = A(x) + n, the noise of image i drawn with seed NOISE_SEED + i."""
    return operator.measure(x, SIGMA, [torch.Generator().manual_seed(NOISE_SEED + i) for i in range(len(x))])


def measure_arms(prior, judge, x, labels, others, arms, settings):
    """Solve every arm, {name: seeds used}.  Returns (a row per reconstruction, {arm: (N, S, 3, H, W)}, operator, y)."""
    import pandas as pd
    from tqdm.auto import tqdm

    operator = operators.SuperResolution(FACTOR)
    y = measured(operator, x)
    captions = images.captions()
    label_set = list(dict.fromkeys(captions["label"]))
    style = captions.query("split == 'heldout'").set_index("label")["style"].to_dict()
    texts = {"true": labels, "null": [settings["null_prompt"]] * len(x), "other": others}
    rows, pictures = [], {}
    with tqdm(total=len(x) * sum(map(len, arms.values())), unit="image", desc="reconstructing") as bar:
        for arm, used in arms.items():
            whose, negation = ARMS[arm]
            chosen = settings | UNGUIDED if whose == "null" else settings
            pictures[arm] = reconstruct(prior, operator, y, texts[whose], used, negation, chosen, bar.update)
            for i in range(len(x)):
                asked = others[i] if whose == "other" else labels[i]
                graded = grade(judge, operator, y[i : i + 1], x[i : i + 1], pictures[arm][i], asked, label_set)
                common = {"arm": arm, "image": labels[i], "style": style[labels[i]], "text": texts[whose][i], "graded against": asked}
                common["variance"] = metrics.pixel_variance(pictures[arm][i]).item()  # over the seeds, so one for all of them
                rows += [common | {"seed": seed} | {k: v[n] for k, v in graded.items()} for n, seed in enumerate(used)]
    return pd.DataFrame(rows), pictures, operator, y


def summary(rows):
    """{arm: {figure: (mean, low, high)}}, 95 % intervals over images (an image's seeds are averaged first)."""
    table = {}
    for arm, part in rows.groupby("arm", sort=False):
        per_image = part.groupby("image", sort=False)[["top1", "top5", "similarity", "y_mse", "psnr", "variance"]].mean()
        table[arm] = {name: metrics.confidence_interval(per_image[name].to_numpy()) for name in per_image}
    return table


def claims(rows):
    """The paired comparisons, each (mean, low, high) over images; a ratio is of means, its images resampled in pairs."""

    def per_image(arm, name):
        return rows[rows["arm"] == arm].groupby("image", sort=False)[name].mean().to_numpy()

    def difference(a, b, name):
        return metrics.confidence_interval(per_image(a, name) - per_image(b, name))

    def ratio(a, b):
        picks = np.random.default_rng(0).integers(len(a), size=(2000, len(a)))
        return (a.mean() / b.mean(), *np.quantile(a[picks].mean(1) / b[picks].mean(1), [0.025, 0.975]))

    return {
        "variance, text − null text": difference("true text", "null text", "variance"),
        "judge's top-1, text − null text": difference("true text", "null text", "top1"),
        "judge's similarity, negation on − off, true text": difference("true text", "true text, no negation", "similarity"),
        "judge's similarity, negation on − off, another text": difference("another text", "another text, no negation", "similarity"),
        "y-MSE, another text / true text": ratio(per_image("another text", "y_mse"), per_image("true text", "y_mse")),
        "variance, text / null text": ratio(per_image("true text", "variance"), per_image("null text", "variance")),
    }


def print_table(table, title, intervals):
    """A row an arm.  intervals: whether to print them; over three images they would promise too much."""
    from rich.console import Console
    from rich.table import Table

    def cell(entry, form):
        mean, low, high = (form(v) for v in entry)
        return f"{mean} [{low}, {high}]" if intervals else mean

    forms = {
        "y_mse": ("y-MSE ×10⁻⁵", lambda v: f"{v * 1e5:.2f}"),
        "similarity": ("judge similarity", lambda v: f"{v:.3f}"),
        "top1": ("judge top-1", lambda v: f"{v:.0%}"),
        "top5": ("judge top-5", lambda v: f"{v:.0%}"),
        "psnr": ("PSNR, dB", lambda v: f"{v:.1f}"),
        "variance": ("pixel variance ×10⁻³", lambda v: f"{v * 1e3:.2f}"),
    }
    printed = Table("", *(name for name, _ in forms.values()), title=title)
    for arm, figures_of_arm in table.items():
        cells = [cell(figures_of_arm[name], form) for name, (_, form) in forms.items()]
        if "another" in arm:
            cells[list(forms).index("psnr")] = "—"  # no truth bears this text
        printed.add_row(arm, *cells)
    Console(width=150).print(printed)


def demo(images=3, seeds=8, out="out", device="cpu"):
    """A table, and `demo.png`: a few measurements under three texts."""
    from .. import figures

    x, labels, others = held_out(images)
    make_folder(out)
    prior, judge = load_prior(device=device), load_judge(device=device)
    few = range(min(2, seeds))
    arms = {arm: range(seeds) if arm in ("true text", "null text") else few for arm in ARMS}
    rows, pictures, operator, y = measure_arms(prior, judge, x, labels, others, arms, prior.recommended["treg"])
    print_table(summary(rows), f"×{FACTOR} super-resolution of {images} held-out images, σ = {SIGMA}; means", False)
    shown = []
    for i in range(len(x)):
        groups = {
            f'text "{labels[i]}"': pictures["true text"][i][:3],
            "null text": pictures["null text"][i][:3],
            f'text "{others[i]}"': pictures["another text"][i][:2],
        }
        shown.append((x[i : i + 1], y[i : i + 1], groups))
    print(f"wrote {write_figure(out, 'demo', figures.story(shown, operator))}")
    return rows


def run(images=32, seeds=8, out="out", device="cpu"):
    """All arms with all seeds; prints the tables and the paired claims, writes `quick.json` and `quick.parquet`.

    Of the held-out pictures in a fluent style the prior has mostly seen the sibling, so what the others alone give is printed as well.
    """
    x, labels, others = held_out(images)
    make_folder(out)
    prior, judge = load_prior(device=device), load_judge(device=device)
    rows, *_ = measure_arms(prior, judge, x, labels, others, dict.fromkeys(ARMS, range(seeds)), prior.recommended["treg"])
    report = {"images": images, "seeds": seeds, "settings": prior.recommended["treg"]}
    for name, part in {"": rows, "no sibling": rows[~rows["style"].isin(SIBLINGS)]}.items():
        count = part["image"].nunique()
        if count < 2:
            continue
        table, paired = summary(part), claims(part)
        told = f"{count} held-out images × {seeds} seeds" + (", none of them fluent" if name else "")
        print_table(table, f"×{FACTOR} super-resolution of {told}, σ = {SIGMA}; 95 % intervals over images", True)
        for claim, value in paired.items():
            print(f"{claim}: " + "{:.4f} [{:.4f}, {:.4f}]".format(*value))
        report |= {f"arms {name}".strip(): table, f"claims {name}".strip(): paired}
    write_report(out, "quick", rows, report)
    return report


def make_folder(out):
    """The folder of the results, made before anything is computed for it."""
    checks.expect(Path(out).is_dir() or not Path(out).exists(), "out", f"{str(out)!r}, which is a file", "a folder, new or not")
    Path(out).mkdir(parents=True, exist_ok=True)


def write_figure(out, name, figure):
    """`name`.png in the folder `out`; returns its path."""
    path = Path(out) / f"{name}.png"
    with files.written_beside(path) as beside:
        figure.savefig(beside, format="png", dpi=110)
    return path


def write_report(out, name, rows, report):
    """`name`.parquet, a row a reconstruction, and `name`.json, in the folder `out`."""
    with files.written_beside(Path(out) / f"{name}.parquet") as beside:
        rows.to_parquet(beside)
    files.write_text(Path(out) / f"{name}.json", files.json_text(report))
