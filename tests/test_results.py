"""The results that ship: they are those of the bundled prior, of test pictures, whole, and small."""

from dataclasses import replace

import pytest

from treg_edu import files, images
from treg_edu.experiments import claims, noninferiority, pictures, runner, stored
from treg_edu.experiments.arms import Models
from treg_edu.experiments.runner import BASELINE, DDIM, Setting

pytestmark = pytest.mark.once

FOLDER = files.data_folder() / "results"
KEPT = [name for name in stored.STUDIES if (FOLDER / f"{stored.study_named(name).name}.parquet").is_file()]


@pytest.fixture(scope="module")
def models():
    return Models()


def test_the_studies_of_the_papers_tables_are_there():
    assert set(KEPT) >= {claim.study for claim in claims.CLAIMS} | {"accuracy", "parts", "convergence", "wording", "robustness"}


def test_they_are_small():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 3e6


@pytest.mark.parametrize("name", KEPT)
def test_each_row_is_one_that_the_bundled_prior_would_make_today(name, models):
    """Settings, prior, instrument and seeds of every row that is planned, by their hash; and no other row is there."""
    study, rows, given = stored.study_named(name), stored.rows(name), stored.options_of(stored.report(name))
    options = runner.checked(study, replace(given, settings=FOLDER if given.settings else None))
    chosen = pictures.load(options.data, options.classes, options.images, 64, options.texts)
    setting = Setting(models.prior, chosen, models, options.settings)
    names = set(map(tuple, rows[["measurement", "arm"]].drop_duplicates().to_numpy()))
    arms = [arm for arm in study.arms(setting) if (arm.measurement.name, arm.name) in names]
    plan = {runner.key_of(row) for row in runner.planned(study, arms, setting, options)}
    assert len(rows) == len(plan) and set(map(tuple, rows[list(runner.KEY)].itertuples(index=False))) == plan


@pytest.mark.parametrize("name", KEPT)
def test_the_pictures_are_test_pictures(name):
    test = images.of_split(images.captions(), "test")
    there = {f"{style}/{concept}" for style, concept in zip(test["style"], test["concept"])}
    assert set(stored.rows(name)["picture"]) <= there


def test_every_solver_was_searched_alike():
    """As many trials, on the same tuning pictures, for each that the tables compare; those without settings to vary have fewer."""
    solvers = set(stored.rows("accuracy")["solver"]) - {"ddim"}
    reports = {solver: files.read_json(FOLDER / f"settings_{solver}.json", "solver") for solver in solvers}
    assert len({(each["images"], each["seeds"], each["trials"], each["rule"]) for each in reports.values()}) == 1
    tried = {solver: len(stored.search(solver)["trials"]) for solver in solvers - {"tikhonov", "h1", "wavelet", "total_variation"}}
    assert len(set(tried.values())) == 1, tried


def test_the_readme_says_what_the_results_show():
    """Of the solvers with a prior: whose misfit is least, at what passes, and who is nearer to the truth than TReg, after correction."""
    rows = stored.rows("accuracy")
    means = rows[(rows["measurement"] == "sr") & (rows["passes"] > 0) & ~rows["arm"].isin([DDIM, "treg, null text"])].groupby("arm")
    misfits, passes = means["misfit"].mean(), means["passes"].mean()
    assert set(misfits.nsmallest(2).index) == {BASELINE, "flowdps"} and 2 * passes[BASELINE] < passes["flowdps"]
    minus = {arm: each["differences"].get("distance") for arm, each in stored.report("accuracy")["tables"]["sr"].items()}
    assert {arm for arm, each in minus.items() if each and each[2] < 0 and each[3] < 0.05} == {"flowdps", "mpgd", "latino"}
    report = stored.report("accuracy")
    readme = (files.data_folder().parent / "README.md").read_text(encoding="utf-8")
    assert f"the same {report['pictures']} held-out drawings from sixteen pixels" in readme


def test_the_statements_of_the_notebook_can_be_read():
    assert len(claims.examined()) == len(claims.CLAIMS)
    rows = stored.rows("accuracy")
    sr = rows[rows["measurement"] == "sr"]
    gradients = noninferiority.gradient_based(sr)
    assert gradients and BASELINE not in gradients and DDIM not in gradients
    assert len(noninferiority.against(sr, gradients, {"distance": 0.3})) == len(gradients)
