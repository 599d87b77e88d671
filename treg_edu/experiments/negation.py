"""What adaptive negation does: which direction it takes, how far, beside which null text, when; against TReg without it.

If the published direction is better than its reverse, than another picture's, and than a random one, the image's feature matters.  If all
of them do the same, it is the distance that c_∅ was moved.
"""

from typing import Any

from .. import images
from .arms import Arm, Batch
from .measurements import Measurement
from .report import run as run_study
from .runner import BASELINE, DDIM, Setting, Study
from .taken_apart import SIGNS

__all__ = ["STUDY", "run"]

OMEGAS = (2.5, 5.0)
NULL_TEXTS = {"empty": "", "published": "out of focus, depth of field", "own words": "blurry"}
DOSES = {"×⅓": 1e-3 / 3, "×1": 1e-3, "×3": 3e-3}
"""Learning rates: each call moves every number of c_∅ by ten times that."""
WHEN = {"early": {"negation_until": 0.5}, "late": {"negation_since": 0.5}}


def another(batch: Batch) -> dict[str, Any]:
    """A tuning drawing for each picture, by the picture's number."""
    drawings, _ = images.load("tuning")
    return {"others": drawings[[batch.pictures.numbers[i] % len(drawings) for i in batch.rows]]}


def arms(setting: Setting) -> list[Arm]:
    """A table for each guidance scale and null text; TReg without negation is what the others are compared with."""
    found = []
    for omega in OMEGAS:
        for told, null in NULL_TEXTS.items():
            y = Measurement("sr", label=f"sr, ω = {omega}, null text {told}")
            own = {"guidance": "cfg", "guidance_scale": omega, "null_prompt": null}
            on = own | {"negation": "hidden", "negation_learning_rate": 1e-3}
            found += [Arm(BASELINE, settings=own | {"negation": None}, measurement=y)]
            for sign in SIGNS:
                given = another if sign == "another picture's" else None
                for dose, rate in DOSES.items():
                    settings = on | {"sign": sign, "negation_learning_rate": rate}
                    found += [Arm(f"{sign}, {dose}", "taken apart", settings=settings, measurement=y, given=given)]
            found += [Arm(f"published, {name}", "taken apart", settings=on | when, measurement=y) for name, when in WHEN.items()]
            found += [Arm("projected", settings=on | {"negation": "projected"}, measurement=y)]
    return [*found, Arm(DDIM, "ddim", measurement=found[0].measurement)]


STUDY = Study("negation", arms)


def run(**options: Any) -> dict[str, Any] | None:
    """options: of `runner.Options`."""
    return run_study(STUDY, **options)
