"""The one grid from which the values in configs/tuned/digits_c were chosen.

    python data_scripts/search_digits.py [method ...]

Every method is run by `ctta run sweep=tune`, which has the learning rates, the three orders and the
four validation corruptions (never the test ones), over those further axes of the grid that it has.
All errors go to configs/tuned/digits_c/search.csv; the choice of each method is printed. Finished
runs are looked up, so an interrupted search goes on where it stopped.
"""

import csv
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

CONFIGS = Path(__file__).parents[1] / "configs"
TABLE = CONFIGS / "tuned/digits_c/search.csv"
TUNE = yaml.safe_load((CONFIGS / "sweep/tune.yaml").read_text(encoding="utf-8"))
SWEPT = {k: yaml.safe_load(f"[{v}]") for k, v in TUNE["hydra"]["sweeper"]["params"].items()}
SEEDS = tuple(SWEPT["stream.seed"])
GRID: dict[str, tuple[Any, ...]] = {
    "optimizer.lr": tuple(SWEPT["optimizer.lr"]),
    "method.ema_decay": (0.9, 0.99, 0.999),
    "method.symmetric_loss": (False, True),
    "method.n_neighbors": (3, 10, 30, 100),
    "method.affinity": ("knn", "rbf", "linear"),
}
NOT_SEARCHED = ("frozen",)  # has the values of the method inside


def axes(method: str) -> dict[str, tuple[Any, ...]]:
    """The part of the grid that ``method`` has keys for."""
    keys = yaml.safe_load((CONFIGS / f"method/{method}.yaml").read_text(encoding="utf-8"))
    has = {f"method.{key}" for key in keys} | ({"optimizer.lr"} if "optimizer" in keys else set())
    return {key: values for key, values in GRID.items() if key in has}


def value(config: dict[str, Any], key: str) -> Any:
    """``config`` at a dotted key."""
    for part in key.split("."):
        config = config[part]
    return config


def search(method: str, runs: Path) -> None:
    """Run the grid of one method."""
    own = {"optimizer.lr": ("null",)} | axes(method)  # null: for a method without an optimizer
    overrides = [f"{k}={','.join(map(str, v))}" for k, v in own.items()] + [f"paths.runs={runs}"]
    command = [sys.executable, "-m", "ctta", "run", "sweep=tune", f"method={method}"]
    # A value with which a method diverges is a finding, not a reason to stop.
    subprocess.run([*command, "progress=false", *overrides], check=False)


def rows(method: str, runs: Path) -> list[dict[str, Any]]:
    """One row a grid point: its values, the error of each order and their mean, best first."""
    records = [json.loads(path.read_text()) for path in runs.glob(f"{method}-*/result.json")]
    found = []
    for point in itertools.product(*axes(method).values()):
        values = dict(zip(axes(method), point, strict=True))
        errors = {
            r["config"]["stream"]["seed"]: r["metrics"]["error_pct"]
            for r in records
            if r["status"] == "finished"
            and all(value(r["config"], key) == v for key, v in values.items())
        }
        mean = sum(errors.values()) / len(SEEDS) if len(errors) == len(SEEDS) else None
        texts = [f"{errors[s]:.2f}" if s in errors else "failed" for s in SEEDS]
        found.append(
            {"method": method}
            | {key: values.get(key, "") for key in GRID}
            | {f"seed {s}": text for s, text in zip(SEEDS, texts, strict=True)}
            | {"mean error %": "failed" if mean is None else f"{mean:.2f}", "order": mean}
        )
    return sorted(found, key=lambda row: float("inf") if row["order"] is None else row["order"])


def main() -> None:
    names = {path.stem for path in (CONFIGS / "method").glob("*.yaml")} - {*NOT_SEARCHED}
    searched = sorted(name for name in names if axes(name))
    runs = Path(os.environ.get("CTTA_RUNS", "runs")) / "search_digits"
    for method in sys.argv[1:] or searched:
        search(method, runs)
    with TABLE.open("w", newline="", encoding="utf-8") as file:
        columns = ["method", *GRID, *(f"seed {s}" for s in SEEDS), "mean error %"]
        table = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        for method in searched:
            found = rows(method, runs)
            table.writerows(found)
            best = {k: v for k, v in found[0].items() if v != "" and k in (*GRID, "mean error %")}
            print(method, best)


if __name__ == "__main__":
    main()
