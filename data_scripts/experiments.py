"""Write `configs/experiment` and `docs/published.md` from the table in `leaderboard/published`.

    python data_scripts/experiments.py            # both
    python data_scripts/experiments.py measure    # our own rows first

A row's ``experiment`` is <benchmark>/<protocol>/<method>; `PROTOCOLS` says what a protocol is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ctta.leaderboard.published import PublishedRow, about, best_first, published_rows

ROOT = Path(__file__).parents[1]
PUBLISHED = ROOT / "leaderboard" / "published"
ROID_SEEDS = {"seed": "1,2,3,4,5"}
TEN_ORDERS = {"stream.order_number": "0,1,2,3,4,5,6,7,8,9"}
ROID_CODE = "mariodoebler/test-time-adaptation at 8b2ed63"
FIFTY = {"subset": "all"}
RESIZED = {"preprocessing": "resize256_crop224"}
SWIN_VIEW = {"resize": 238, "interpolation": "bicubic"}
D109 = {"concentration": 0.1, "smallest_chunk": 10}
UNNORMALISED = {"normalisation": "none"}


@dataclass(frozen=True)
class Protocol:
    """What the rows of a protocol have in common.

    Attributes:
        text: of whom, and where it was read.
        model: name of its configuration.
        stream: the same.
        of_stream: values that differ from that configuration, like the next two.
        of_data: see there.
        of_model: see there.
        of_online: values of the loop.
        sweep: what a row is the mean over; the source model, which draws nothing, has no seeds.
        methods: our own rows of it; published ones are in the table.
    """

    text: str
    model: str
    stream: str = "continual"
    of_stream: Mapping[str, Any] = field(default_factory=dict)
    of_data: Mapping[str, Any] = field(default_factory=dict)
    of_model: Mapping[str, Any] = field(default_factory=dict)
    of_online: Mapping[str, Any] = field(default_factory=dict)
    sweep: Mapping[str, str] = field(default_factory=dict)
    methods: tuple[str, ...] = ()


def roid(model: str, stream: str, batch: int, **more: Any) -> Protocol:
    """ROID's benchmark: the samples shuffled, the mean of seeds 1 to 5."""
    of_stream = {"batch_size": batch, "shuffle": True, "seed": "${seed}", **more.pop("values", {})}
    text = f"ROID's benchmark: shuffled, batches of {batch}, mean of five seeds; {ROID_CODE}."
    return Protocol(text, model, stream, of_stream, sweep=ROID_SEEDS, **more)


def in_file_order(batch: int) -> dict[str, Any]:
    """Values of a stream whose samples come as they lie in the files."""
    return {"batch_size": batch, "shuffle": False}


COTTA = "CoTTA's: file order, batches of 200; qinenergy/cotta at c212a20."
TENT = (
    "Tent's: file order, batches of 200, a reset before each corruption; "
    "DequanWang/tent at e9e926a."
)
PETTA = (
    "PeTTA's: RoTTA's form of correlation, twenty visits, batches of 64; "
    "hthieu166/petta at 5b4de7f."
)
VIDA = (
    "ViDA's: {}; Yangsenqiao/vida at c26b0db. Its numbers start from adapters warmed up by the "
    "authors; here they are warmed up anew."
)
RESET = "All 50,000 images, shuffled, batches of 64, a reset before each corruption; {}."
OURS = "Our own, with weights that travel with the package: the same on every machine."
PROTOCOLS: dict[str, Protocol] = {
    "cifar10_c/continual": Protocol(COTTA, "wrn_28_10", of_stream=in_file_order(200)),
    "cifar10_c/continual_shuffled": roid("wrn_28_10", "continual", 200),
    "cifar10_c/continual_vit_384": Protocol(
        VIDA.format("file order, batches of 40, images resized to 384x384, not normalised"),
        "vit_base_patch16_384_cifar10",
        of_stream=in_file_order(40),
        of_data={"resize": 384},
    ),
    "cifar10_c/reset_each": Protocol(TENT, "wrn_28_10", "reset_each", in_file_order(200)),
    "cifar10_c/reset_each_augmix": Protocol(
        TENT, "wrn_40_2_augmix", "reset_each", in_file_order(200)
    ),
    "cifar10_c/gradual": Protocol(
        "CoTTA's: file order, batches of 200, 131 segments, mean over ten orders; "
        "qinenergy/cotta at c212a20.",
        "wrn_28_10",
        "gradual_cotta",
        sweep=TEN_ORDERS,
    ),
    "cifar10_c/mixed": roid("wrn_28_10", "mixed", 200),
    "cifar10_c/correlated": roid("resnet_26_gn", "correlated", 200),
    "cifar10_c/recurring_rotta": Protocol(PETTA, "wrn_28_10", "petta"),
    "cifar100_c/continual": Protocol(
        COTTA, "resnext_29_augmix_cifar100", of_stream=in_file_order(200)
    ),
    "cifar100_c/continual_shuffled": roid("resnext_29_augmix_cifar100", "continual", 200),
    "cifar100_c/continual_vit_384": Protocol(
        VIDA.format("file order, batches of 50, images resized to 384x384, not normalised"),
        "vit_base_patch16_384_cifar100",
        of_stream=in_file_order(50),
        of_data={"resize": 384},
    ),
    "cifar100_c/mixed": roid("resnext_29_augmix_cifar100", "mixed", 200),
    "cifar100_c/recurring_rotta": Protocol(PETTA, "resnext_29_augmix_cifar100", "petta"),
    "imagenet_c/continual_orders": Protocol(
        "CoTTA's: the 5,000 images resized and cropped once more, batches of 64, mean over ten "
        "orders; qinenergy/cotta at c212a20.",
        "resnet50",
        "cotta_orders",
        of_data=RESIZED,
        sweep=TEN_ORDERS,
    ),
    "imagenet_c/continual_resized": Protocol(
        "CoTTA's loader in the standard order: the 5,000 images resized and cropped once more, "
        "batches of 64; read from the source row of VCoTTA's table.",
        "resnet50",
        of_stream=in_file_order(64),
        of_data=RESIZED,
    ),
    "imagenet_c/continual_vit": Protocol(
        VIDA.format(
            "the 5,000 images resized and cropped once more, not normalised, batches of 50"
        ),
        "vit_base_patch16_224",
        of_stream=in_file_order(50),
        of_data=RESIZED,
        of_model=UNNORMALISED,
    ),
    "imagenet_c/recurring_vit": Protocol(
        VIDA.format("as its continual one, ten rounds; batches of 50"),
        "vit_base_patch16_224",
        "recurring",
        in_file_order(50),
        RESIZED,
        UNNORMALISED,
    ),
    "imagenet_c/recurring_rotta": Protocol(PETTA, "resnet50", "petta"),
    "imagenet_c/continual_50k": Protocol(
        "EATA's lifelong one: all 50,000 images, shuffled, batches of 64; "
        "mr-eggplant/EATA at f739b36.",
        "resnet50",
        of_data=FIFTY,
    ),
    "imagenet_c/reset_each_50k": Protocol(
        RESET.format("mr-eggplant/EATA at f739b36"), "resnet50", "reset_each", of_data=FIFTY
    ),
    "imagenet_c/reset_each_vit": Protocol(
        RESET.format("mr-eggplant/FOA at 004b02d"),
        "vit_base_patch16_224",
        "reset_each",
        of_data=FIFTY,
    ),
    "imagenet_c/speed_limited": Protocol(
        "Alfarra's: as reset_each_50k, but the stream does not wait (eta 1, by the clock, so it "
        "depends on the machine); MotasemAlfarra/Online_Test_Time_Adaptation at 8e21fad.",
        "resnet50",
        "speed_limited",
        of_data=FIFTY,
        of_online={"step_cost": "measured"},
    ),
    "imagenet_c/label_shift": Protocol(
        "SAR's: 100,000 draws a corruption, one class after the other dominates; "
        "mr-eggplant/SAR at 20f6e24.",
        "resnet50",
        "label_shift",
        of_data=FIFTY,
    ),
    "domainnet126/recurring_rotta": Protocol(
        PETTA, "resnet50_domainnet126", "petta", {"order": None}
    ),
    "digits_c/continual": Protocol(
        OURS, "digits_cnn_shipped", methods=("source", "norm", "tent", "cotta", "eata")
    ),
    "digits_c/first_100": Protocol(
        f"{OURS} The first 100 images of each corruption: a look, in seconds.",
        "digits_cnn_shipped",
        of_data={"n_images": 100},
        methods=("source", "norm", "tent"),
    ),
}
for name, view in (("", {}), ("_swin_b", SWIN_VIEW), ("_vit_b_16", {})):
    model = name[1:] or "resnet50"
    PROTOCOLS |= {
        f"imagenet_c/continual_shuffled{name}": roid(model, "continual", 64),
        f"imagenet_c/mixed{name}": roid(model, "mixed", 64),
        f"imagenet_r/single_domain{name}": roid(model, "continual", 64, of_data=view),
        f"imagenet_sketch/single_domain{name}": roid(model, "continual", 64, of_data=view),
        f"imagenet_d109/continual_shuffled{name}": roid(model, "continual", 64, of_data=view),
        f"imagenet_d109/mixed{name}": roid(model, "mixed", 64, of_data=view),
    }
    if name:
        PROTOCOLS |= {
            f"imagenet_c/correlated{name}": roid(model, "correlated", 64, of_data=FIFTY),
            f"imagenet_c/mixed_correlated{name}": roid(
                model, "mixed_correlated_note", 64, of_data=FIFTY
            ),
            f"imagenet_r/correlated{name}": roid(model, "correlated", 64, of_data=view),
            f"imagenet_sketch/correlated{name}": roid(model, "correlated", 64, of_data=view),
            f"imagenet_d109/correlated{name}": roid(model, "correlated", 64, of_data=view),
            f"imagenet_d109/mixed_correlated{name}": roid(
                model, "mixed_correlated_note", 64, of_data=view, values={"parameters": D109}
            ),
        }


def experiment_text(experiment: str, rows: Iterable[PublishedRow]) -> str:
    """The file of one configuration."""
    place, _, method = experiment.rpartition("/")
    protocol = PROTOCOLS[place]
    sweep = protocol.sweep
    if method == "source":
        sweep = {key: values for key, values in sweep.items() if key != "seed"}
    sources = about().sources
    numbers = dict.fromkeys(
        f"{row.metric} {row.value} ({sources[row.source].partition(' (')[0]}; {row.table}; "
        f"{row.evidence})"
        for row in best_first(list(rows))
    )
    lines = [
        "# @package _global_",
        f"# {protocol.text}",
        *(f"# published: {number}" for number in numbers),
        "defaults:",
        f"  - override /dataset: {place.partition('/')[0]}",
        f"  - override /stream: {protocol.stream}",
        f"  - override /model: {protocol.model}",
        f"  - override /method: {method}",
    ]
    nodes = {
        "dataset": protocol.of_data,
        "stream": protocol.of_stream,
        "model": protocol.of_model,
        "online": protocol.of_online,
    }
    for node, values in nodes.items():
        if values:
            lines += [f"{node}:", *(f"  {key}: {yaml_value(v)}" for key, v in values.items())]
    if sweep:
        lines += ["hydra:", "  mode: MULTIRUN", "  sweeper:", "    params:"]
        lines += [f"      {key}: {values}" for key, values in sweep.items()]
    return "\n".join(lines) + "\n"


def yaml_value(value: Any) -> str:
    """A scalar as it stands in a file."""
    return value if isinstance(value, str) else json.dumps(value)


def experiments() -> dict[str, str]:
    """Name -> text of every configuration that a row has."""
    rows: dict[str, list[PublishedRow]] = {}
    for row in published_rows():
        if row.experiment is not None:
            rows.setdefault(row.experiment, []).append(row)
    return {name: experiment_text(name, own) for name, own in sorted(rows.items())}


def page_text() -> str:
    """`docs/published.md`: which rows have a configuration, and which not, and why."""
    rows, said = published_rows(), about()
    with_one = [row for row in rows if row.experiment]
    lines = [
        "# Published numbers and their configurations",
        "",
        "Made by `data_scripts/experiments.py` from `leaderboard/published`; a test checks that it",
        "is up to date.",
        "",
        f"Of {len(rows)} numbers, {len(with_one)} have a configuration: "
        f"{len(experiments())} files in `configs/experiment`. `ctta reproduce list` shows them,",
        "`ctta reproduce <method>/<benchmark>/<protocol>` runs one and compares. A configuration",
        "says what the document and its code say; only those of `digits_c` have been run by us.",
        "",
        "## What has one",
        "",
        "| protocol | methods | numbers | what it is |",
        "|---|---|---:|---|",
    ]
    for place, protocol in sorted(PROTOCOLS.items()):
        own = [r for r in with_one if r.experiment and r.experiment.rpartition("/")[0] == place]
        methods = ", ".join(sorted({f"`{row.method}`" for row in own}))
        lines.append(f"| `{place}` | {methods} | {len(own)} | {protocol.text} |")
    lines += ["", "## What has none, and why", "", "| why | numbers | which |", "|---|---:|---|"]
    for key, text in said.reasons.items():
        without = [row for row in rows if row.reason == key]
        which: dict[str, set[str]] = {}
        for row in without:
            which.setdefault(f"{row.benchmark}, {row.setting} ({row.source})", set()).add(
                row.method
            )
        named = "; ".join(f"{k}: {', '.join(sorted(v))}" for k, v in sorted(which.items()))
        lines.append(f"| {text} | {len(without)} | {named} |")
    lines += ["", "## Sources", "", "| key | document |", "|---|---|"]
    lines += [f"| `{key}` | {text} |" for key, text in said.sources.items()]
    lines += ["", "## Before comparing", "", *(f"- {text}" for text in said.warnings)]
    lines += [f"- Not found, {what}: {text}." for what, text in said.not_found.items()]
    return "\n".join(lines) + "\n"


def write(root: Path) -> None:
    """Both, under ``root``."""
    folder = root / "configs" / "experiment"
    for old in folder.glob("*/**/*.yaml"):
        old.unlink()
    for name, text in experiments().items():
        path = folder / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (root / "docs").mkdir(exist_ok=True)
    (root / "docs" / "published.md").write_text(page_text(), encoding="utf-8")


def measure() -> None:
    """Run our own rows and write their records and `digits_c.json`."""
    rows = []
    for place, protocol in PROTOCOLS.items():
        for method in protocol.methods:
            name = f"{place}/{method}"
            path = ROOT / "configs" / "experiment" / f"{name}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(experiment_text(name, []), encoding="utf-8")
            with tempfile.TemporaryDirectory() as folder:
                subprocess.run(
                    [sys.executable, "-m", "ctta", "run", f"experiment={name}"],
                    env={**os.environ, "CTTA_RUNS": folder},
                    check=True,
                )
                (result,) = Path(folder).glob("*/result.json")
                kept = PUBLISHED / "records" / f"{name}.json"
                kept.parent.mkdir(parents=True, exist_ok=True)
                record = json.loads(result.read_text(encoding="utf-8"))
            record["config"]["paths"] = dict.fromkeys(record["config"]["paths"])
            kept.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
            rows.append(own_row(name, record))
    lines = ",\n".join(f"  {json.dumps(row)}" for row in rows)
    (PUBLISHED / "digits_c.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    published_rows.cache_clear()


def own_row(name: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the table from the record of a run."""
    config = record["config"]
    errors = record["error_by_domain"]
    return {
        "method": record["method"]["name"],
        "setting": config["stream"]["setting"],
        "model": config["names"]["model"],
        "architecture": f"{record['model']['name']} ({record['model']['file_sha256'][:8]})",
        "metric": "error_pct",
        "value": round(record["metrics"]["error_pct"], 2),
        "by_corruption": {k.rpartition("-")[0]: round(v, 2) for k, v in errors.items()},
        "severity": config["dataset"]["severity"],
        "rounds": 1,
        "order": "standard",
        "n_images": config["dataset"]["n_images"] or 797,
        "batch_size": config["stream"]["batch_size"],
        "seeds": [record["seeds"]["method"]],
        "source": "ctta",
        "table": f"records/{name}.json",
        "document": "record of a run",
        "evidence": "own",
        "experiment": name,
    }


if __name__ == "__main__":
    if sys.argv[1:] == ["measure"]:
        measure()
    write(ROOT)
