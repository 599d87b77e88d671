"""The statement "cheaper at no lower quality": where it must hold, where it must fail, where it must stay open; and its errors."""

import numpy as np
import pandas as pd
import pytest

from treg_edu.checks import ArgumentError
from treg_edu.experiments import noninferiority
from treg_edu.experiments.noninferiority import against, of_every

pytestmark = pytest.mark.once

MARGINS = {"distance": 0.1}


def rows_of(arms, pictures=24, seeds=2, spread=0.02, random=0):
    """{arm: (distance, top1, passes, seconds)} → rows.  A picture's own difficulty is large and the same for all arms."""
    numbers = np.random.default_rng(random)
    difficulty = numbers.normal(0, 1, pictures)
    parts = []
    for arm, (distance, top1, passes, seconds) in arms.items():
        of_pictures = {
            "picture": [f"p{i:02}" for i in range(pictures)],
            "distance": distance + difficulty + numbers.normal(0, spread, pictures),
            "top1": (np.arange(pictures) < round(top1 * pictures)).astype(float),
        }
        own = pd.DataFrame(of_pictures).assign(arm=arm, passes=passes, seconds=seconds, unet_backward=passes * (arm != "treg"))
        parts += [own.assign(distance=own["distance"] + seed / 100, seed=seed) for seed in range(seeds)]
    return pd.concat(parts, ignore_index=True).assign(measurement="sr", decoder_backward=0.0, encoder_backward=0.0)


TREG = (2.0, 0.5, 50.0, 1.0)


def told(rival, margins=MARGINS, **more):
    (found,) = against(rows_of({"treg": TREG, "rival": rival}, **more), ["rival"], margins)
    return found


def test_it_holds_where_the_quality_is_the_same_and_the_cost_a_third():
    found = told((2.0, 0.5, 200.0, 4.0))
    assert (found.passes, found.seconds) == (4, 4) and found.verdicts == {"cost": "holds", "distance": "holds"} and found.verdict == "holds"
    assert found.worse["distance"][1] < 0 < found.worse["distance"][2] < 0.1


def test_it_holds_where_the_rival_is_worse():
    assert told((3.0, 0.5, 150.0, 3.0)).verdict == "holds"


def test_worse_by_less_than_the_margin_holds_and_by_more_fails():
    """Both are told apart from 0: what counts is the margin."""
    within, beyond = told((1.95, 0.5, 200.0, 4.0)), told((1.8, 0.5, 200.0, 4.0))
    assert within.worse["distance"][1] > 0 and within.verdict == "holds"
    assert beyond.verdicts == {"cost": "holds", "distance": "fails"} and beyond.verdict == "fails"


def test_few_pictures_and_a_large_spread_leave_it_open():
    """No difference is found, which is no evidence that there is none."""
    found = told((2.0, 0.5, 200.0, 4.0), pictures=6, spread=0.5)
    low, high = found.worse["distance"][1:]
    assert low < 0 < 0.1 < high and found.verdict == "undecided"


def test_pictures_are_compared_in_pairs():
    """The difficulty of a picture is 50 times what is told apart; in other pairs nothing would be."""
    rows = rows_of({"treg": TREG, "rival": (2.0, 0.5, 200.0, 4.0)})
    names = {name: f"p{(int(name[1:]) * 7) % 24:02}" for name in rows["picture"].unique()}
    moved = rows.assign(picture=rows["picture"].where(rows["arm"] == "treg", rows["picture"].map(names)))
    assert [against(each, ["rival"], MARGINS)[0].verdict for each in (rows, moved)] == ["holds", "undecided"]


@pytest.mark.parametrize(
    "passes, seconds, verdict", [(150.0, 3.0, "holds"), (149.0, 2.9, "fails"), (149.0, 3.1, "undecided"), (151.0, 2.9, "undecided")]
)
def test_the_cost_is_that_of_passes_and_of_seconds(passes, seconds, verdict):
    found = told((2.0, 0.5, passes, seconds))
    assert found.verdicts["cost"] == verdict == found.verdict


def test_more_is_better_for_shares():
    fewer, more = (told((2.0, share, 200.0, 4.0), {"top1": 0.1}) for share in (0.125, 0.875))
    assert fewer.verdicts["top1"] == "holds" and more.verdicts["top1"] == "fails"
    assert fewer.worse["top1"][0] == pytest.approx(-0.375) and more.worse["top1"][0] == pytest.approx(0.375)


def test_no_picture_differs_is_no_proof_for_shares():
    """As `mean_interval` has it: eight pictures of which none differs do not exclude a tenth."""
    assert told((2.0, 0.5, 200.0, 4.0), {"top1": 0.1}, pictures=8).verdict == "undecided"
    assert told((2.0, 0.5, 200.0, 4.0), {"top1": 0.1}, pictures=48).verdict == "holds"


def test_of_every_rival():
    good, bad, slow = (2.0, 0.5, 200.0, 4.0), (1.8, 0.5, 200.0, 4.0), (2.0, 0.5, 60.0, 1.2)
    rows = rows_of({"treg": TREG, "a": good, "b": good, "bad": bad, "slow": slow})
    assert of_every(against(rows, ["a", "b"], MARGINS)) == "holds"
    assert of_every(against(rows, ["a", "bad"], MARGINS)) == "fails"
    assert [each.verdict for each in against(rows, ["a", "slow"], MARGINS)] == ["holds", "fails"]
    unsure = rows_of({"treg": TREG, "a": good, "b": good}, pictures=6, spread=0.5)
    assert of_every(against(unsure, ["a", "b"], MARGINS)) == "undecided"


@pytest.mark.parametrize("rivals", [1, 6])
def test_at_the_margin_a_wrong_verdict_is_rare(rivals):
    """TReg is worse than each by the margin exactly: "holds" is wrong, and so is "fails"; each in 2.5 % at most, however many rivals."""
    names, count = [f"rival {i}" for i in range(rivals)], 300 // rivals
    found = []
    for random in range(count):
        rows = rows_of({"treg": TREG} | dict.fromkeys(names, (1.9, 0.5, 200.0, 4.0)), pictures=16, seeds=1, spread=0.1, random=random)
        found.append(of_every(against(rows, names, MARGINS)))
    most = count * 0.025 + 3 * (count * 0.025 * 0.975) ** 0.5
    assert found.count("holds") <= most and found.count("fails") <= most
    assert rivals > 1 or min(found.count("holds"), found.count("fails")) > 1  # it can err, so the test can fail


def test_enough_pictures_find_what_is_there():
    """Half the margin away, 48 pictures decide nearly always; so that "undecided" is not the answer to everything."""
    found = []
    for random in range(30):
        rows = rows_of({"treg": TREG, "rival": (1.95, 0.5, 200.0, 4.0)}, pictures=48, seeds=1, spread=0.05, random=random)
        found.append(against(rows, ["rival"], MARGINS)[0].verdict)
    assert found.count("holds") > 27


def test_the_rivals_with_gradients_are_read_off_the_counts():
    rows = rows_of({"treg": TREG, "ldps": TREG, "latino": TREG})
    rows.loc[rows["arm"] == "latino", list(noninferiority.BACK)] = 0.0
    assert noninferiority.gradient_based(rows) == ["ldps"]


def test_what_cannot_be_compared_is_named():
    rows = rows_of({"treg": TREG, "rival": TREG})
    with pytest.raises(ArgumentError, match=r"^margins\['distance'\]: got 0"):
        against(rows, ["rival"], {"distance": 0.0})
    with pytest.raises(ArgumentError, match="^margins: got 'seconds', expected"):
        against(rows, ["rival"], {"seconds": 1.0})
    with pytest.raises(ArgumentError, match="^rows: got none of other"):
        against(rows, ["other"], MARGINS)
    with pytest.raises(ArgumentError, match="^rows: got other pictures for rival than for treg"):
        against(rows[(rows["arm"] == "treg") | (rows["picture"] != "p00")], ["rival"], MARGINS)
    with pytest.raises(ArgumentError, match="^rows: got those of sr, blur"):
        against(pd.concat([rows, rows.assign(measurement="blur")]), ["rival"], MARGINS)
    with pytest.raises(ArgumentError, match="^factor: got -3"):
        against(rows, ["rival"], MARGINS, factor=-3)
    with pytest.raises(ArgumentError, match="^compared: got none"):
        of_every([])
