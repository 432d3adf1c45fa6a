"""The leaderboard's own content: every method over digits_c in five settings.

    python data_scripts/leaderboard_digits.py run [--orders 5] [--only SETTING]
    python data_scripts/leaderboard_digits.py add --hardware TEXT [--orders 5] [--only SETTING]

`run` makes the runs that are not finished yet, in CTTA_RUNS; `add` makes entries of those of the
first ORDERS orders and removes what lay there of a setting before. Gradual and recurring streams
are over the first images of each corruption, so that they are about as long as the others.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from ctta.commands.leaderboard import main as leaderboard

ROOT = Path(__file__).resolve().parents[1]
ENTRIES = ROOT / "leaderboard" / "entries" / "digits_c"
SETTINGS = {
    "continual": [],
    "gradual": ["dataset.n_images=100"],
    "mixed": [],
    "correlated": [],
    "recurring": ["stream.rounds=3", "dataset.n_images=200"],
}
AUTHOR = "The ctta authors"
SEARCHED = (
    "installed values, searched by grid on the four validation corruptions of digits_c; "
    "the budget is in the record"
)
STATEMENTS = {  # of methods of which nothing was searched
    "source": "nothing to tune",
    "norm": "nothing to tune",
    "frozen": "installed values of TENT, stopped after ten batches",
}


def ctta(*words: str) -> None:
    """The command line of this checkout; ends with its status where that is not 0.

    Standard output is kept back: only what fails is of interest.
    """
    done = subprocess.run([sys.executable, "-m", "ctta", *words], cwd=ROOT, stdout=subprocess.PIPE)
    if done.returncode:
        sys.exit(f"ctta {' '.join(words[:6])} ...: exit status {done.returncode}")


def methods() -> list[str]:
    """All built-in ones."""
    return sorted(path.stem for path in (ROOT / "configs" / "method").glob("*.yaml"))


def links(method: str) -> list[str]:
    """Paper and official code, as README's table of methods has them."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| [^|]*`{method}`[^|]*\|([^|]*)\|([^|]*)\|", readme, re.MULTILINE)
    paper = row and re.search(r"https://arxiv[^)]*", row[1])
    code = row and re.search(r"([\w-]+/[\w-]+) at `", row[2])
    return [
        *(["--paper", paper[0]] if paper else []),
        *(["--code", f"https://github.com/{code[1]}"] if code else []),
    ]


def run(settings: list[str], orders: int) -> None:
    """Order by order, so that what is there can be compared at any time."""
    for order in range(orders):
        for setting in settings:
            words = ["run", "-m", "method=glob(*)", "model=digits_cnn_shipped", "progress=false"]
            ctta(*words, f"stream={setting}", f"stream.seed={order}", *SETTINGS[setting])


def chosen(setting: str, orders: int) -> dict[str, list[Path]]:
    """Method -> folders of its finished runs, by order.

    Raises:
        SystemExit: one is missing.
    """
    wanted = dict(word.split("=") for word in SETTINGS[setting])
    found: dict[tuple[str, int], Path] = {}
    for path in Path(os.environ.get("CTTA_RUNS", ROOT / "runs")).glob("*/result.json"):
        result = json.loads(path.read_text(encoding="utf-8"))
        config, names = result["config"], result["config"]["names"]
        parts = config["stream"].get("rounds", 1), config["dataset"]["n_images"]
        asked = wanted.get("stream.rounds", "1"), wanted.get("dataset.n_images", "None")
        if (
            result["status"] == "finished"
            and tuple(map(str, parts)) == asked
            and (names["stream"], names["model"]) == (setting, "digits_cnn_shipped")
        ):
            found[names["method"], result["seeds"]["stream"]] = path.parent
    missing = [
        (method, order)
        for method in methods()
        for order in range(orders)
        if (method, order) not in found
    ]
    if missing:
        sys.exit(f"{setting}: {len(missing)} runs are missing, the first {missing[0]}; run them")
    return {method: [found[method, order] for order in range(orders)] for method in methods()}


def add(settings: list[str], orders: int, hardware: str) -> None:
    """Make the entries of some settings anew."""
    runs = {setting: chosen(setting, orders) for setting in settings}
    for path in ENTRIES.glob("[a-z]*/*.json"):
        if json.loads(path.read_text(encoding="utf-8"))["rerun"]["stream"] in settings:
            path.unlink()
            path.with_suffix(".npz").unlink(missing_ok=True)
    if set(settings) == set(SETTINGS):
        shutil.rmtree(ENTRIES, ignore_errors=True)
    for method in methods():
        folders = [str(folder) for own in runs.values() for folder in own[method]]
        said = ["--author", AUTHOR, "--tuning", STATEMENTS.get(method, SEARCHED)]
        words = [*said, "--hardware", hardware, *links(method), "--new-hashes"]
        leaderboard(["add", *folders, *words, "--entries", str(ENTRIES.parent)])


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=("run", "add"))
    parser.add_argument("--orders", type=int, default=5)
    parser.add_argument("--only", choices=SETTINGS, action="append", default=[])
    parser.add_argument("--hardware", default="not said")
    options = parser.parse_args()
    settings = options.only or list(SETTINGS)
    if options.action == "run":
        run(settings, options.orders)
    else:
        add(settings, options.orders, options.hardware)


if __name__ == "__main__":
    main()
