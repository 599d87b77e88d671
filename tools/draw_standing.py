"""Draw docs/standing.png, quality against time for every solver, from the stored results of `accuracy`.  The README shows it.

python tools/draw_standing.py
"""

from pathlib import Path

from treg_edu import files
from treg_edu.experiments import front, stored

ROOT = Path(__file__).resolve().parents[1]


def main():
    rows = stored.rows("accuracy")
    sr = rows[(rows["measurement"] == "sr") & (rows["passes"] > 0) & (rows["arm"] != "treg, null text")]
    print(files.write_figure(ROOT / "docs" / "standing.png", front.picture(sr)))


if __name__ == "__main__":
    main()
