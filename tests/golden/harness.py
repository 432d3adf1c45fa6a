"""Replays a golden file: reads its ``spec`` and its arrays, and nothing else.

What the format is: see the golden format's own page. Anything unknown is refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import yaml
from compare import STATISTICS, Case, Report, check, matching
from torch import Tensor
from units import replay_unit
from views import RefusedError, ReplayedViews

from ctta.assets import asset_dir
from ctta.build import locate
from ctta.data.source import SourceData
from ctta.kernels import ema_, restore_where_
from ctta.methods.base import Method
from ctta.models.digits import TinyCNN
from ctta.models.digits_vit import TinyViT
from ctta.parts.adapters import add_adapters
from ctta.parts.batch_norm import NORMS
from ctta.parts.category_memory import CategoryMemory
from ctta.parts.restore import RandomRestore

# fmt: off
KNOWN_KEYS = {
    "spec", "method", "kind", "source", "model", "mode", "dtype", "returns", "arguments",
    "optimizer", "trained_parameters", "views", "restore_mask", "restore_mask_arrays",
    "start", "source_data", "resets_before", "reset", "survives_reset", "episodic", "steps",
    "window", "compare", "diagnostics", "known_difference", "defect", "parameter_order",
    "unit", "keys", "calls", "batch_size", "state_names", "computed_in_float32",
}
# fmt: on
WORDS: dict[str, tuple[Any, ...]] = {
    "spec": (1,),
    "kind": ("stream", "unit"),
    "dtype": ("float64", "float32"),
    "returns": (None, "logits", "probabilities", "scores"),
    "reset": (None, "full", "official"),
    "restore_mask": (None, "nothing", "all", "array"),
    "defect": (None, "shared_optimizer_moments"),
}
MODES = {
    "student": (None, "train", "eval", "train_then_eval"),
    "teacher": (None, "train", "eval", "eval_then_train"),
    "batch_norm": ("batch", "running", "none", "mixed", "updated", "robust"),
}
# Words of the format for a part -> the attribute of ours, where it has another name.
PARTS = {"student": "model", "bn": "feature_norm", "momentum": "optimizer", "opt": "optimizer"}
STARTS = ("student", "teacher", "anchor", "projector", "hidden", "prior_mean", "prior_variance")
USES = {"prototypes", "fisher", "memory", "warmup", "replay"}
# What survives an official reset -> our attribute.
SURVIVORS = {
    "source_batches": "source_batches",
    "optimizer": "optimizer",
    "hidden_variance": "hidden_var",
    "bn": "feature_norm",
    "bn_optimizer": "optimizer",
    "scales": "scales",
}
# Running totals of the format -> the mask that is observed at each update.
TOTALS = {"num_reliable": "reliable", "num_used": "used"}


def read_case(path: Path) -> Case:
    """Open a file and check its spec.

    Raises:
        RefusedError: an unknown key, rule, mode or number of the format.
    """
    arrays = np.load(path)
    spec = json.loads(str(arrays["meta"]))["spec"]
    for key in spec:
        if key not in KNOWN_KEYS:
            raise RefusedError(f"spec: unknown key {key!r}")
    for key, known in WORDS.items():
        if spec.get(key) not in known:
            raise RefusedError(f"spec.{key}: unknown value {spec.get(key)!r}")
    for key, value in (spec.get("mode") or {}).items():
        if value not in MODES.get(key, ()):
            raise RefusedError(f"spec.mode.{key}: unknown value {value!r}")
    for name in spec.get("survives_reset") or []:
        if name not in SURVIVORS:
            raise RefusedError(f"spec.survives_reset: unknown name {name!r}")
    for key in spec.get("start") or {}:
        if key not in (*STARTS, "memory_first_row"):
            raise RefusedError(f"spec.start: unknown part {key!r}")
    return Case(spec, arrays)


def method_name(path: Path) -> str:
    """The method that a file is about, before anything else in it is judged."""
    return str(json.loads(str(np.load(path)["meta"]))["spec"]["method"])


def method_class(name: str) -> type[Method] | None:
    """The class of that name, or None where there is no such method."""
    path = asset_dir("configs") / "method" / f"{name}.yaml"
    if not path.is_file():
        return None
    return locate(yaml.safe_load(path.read_text()), "method")  # type: ignore[return-value]


def replay(case: Case, cls: type[Method], device: str = "cpu") -> Report:
    """Run the method as the file says on ``device`` and compare.

    Raises:
        RefusedError: the file asks for something that this reader does not know.
    """
    if case.spec["kind"] == "unit":
        return replay_unit(case, Report())
    report = Report()
    mine = run_stream(case, cls, device)
    spec = case.spec
    for kind in ("compare", "diagnostics"):
        for pattern, tolerance in (spec.get(kind) or {}).items():
            if set(tolerance) != {"atol", "rtol"}:
                raise RefusedError(f"spec.{kind}: unknown tolerance {sorted(tolerance)}")
            keys = list(matching(case, pattern))
            if not keys:
                raise RefusedError(f"spec.{kind}: {pattern!r} names no array of the file")
            for key in keys:
                check(key, case.arrays[key], mine(key), tolerance, kind == "compare", report)
    if spec.get("known_difference"):
        differs = any(line.startswith("logits:") for line in report.failures)
        report.failures = [] if differs else ["logits: agree with a record that has a known fault"]
    if report.failures and len(report.off) == len(report.failures):
        report.undecided = decided_by_rounding(case, cls, device, mine, report.off)
    return report


def decided_by_rounding(
    case: Case,
    cls: type[Method],
    device: str,
    mine: Callable[[str], Any],
    off: Mapping[str, Mapping[str, float]],
) -> str | None:
    """Why this machine cannot repeat the record, or None.

    Where student and teacher start equal, the first gradient is zero but for rounding, and Adam
    makes whole steps of it; and what the original forms in float32 has the last bit of its
    processor. Such a quantity repeats only where sums and exponentials have the record's bits. The
    file is called undecided when the first answer is right but not to the last bit, and everything
    that is off leaves its tolerance as well, by a comparable amount, when the method's own start
    and float32 parts change by one unit in the last place.
    """
    tolerance = case.spec["compare"].get("logits")
    file, ours = np.asarray(case.arrays["logits"]), np.asarray(mine("logits"))
    if tolerance is None or file.size != ours.size:
        return None
    first = np.abs(ours.reshape(file.shape)[0] - file[0])
    allowed = tolerance["atol"] + tolerance["rtol"] * np.abs(file[0])
    if not first.max() > 0 or (first > allowed).any():
        return None
    with nudged_age_weights():
        nudged = run_stream(case, cls, device, nudged=True)
    for key, bound in off.items():
        before, after = (np.asarray(run(key), dtype=np.float64) for run in (mine, nudged))
        if before.shape != after.shape:
            return None
        moved = np.abs(after - before)
        if (moved <= bound["atol"] + bound["rtol"] * np.abs(before)).all():
            return None
        theirs = np.asarray(case.arrays[key], dtype=np.float64).reshape(before.shape)
        if np.nanmax(np.abs(before - theirs)) > ROUNDING_REACHES * moved.max():
            return None  # rounding would not carry it that far
    return (
        f"the first logits differ from the record by {first.max():.1e}, this machine rounds in "
        f"another way; one unit in the last place moves what is off: {', '.join(list(off)[:3])}"
    )


# How much further than one unit in the last place, all of one sign, other rounding may carry.
ROUNDING_REACHES = 30


def nudged_age_weights() -> AbstractContextManager[Any]:
    """Inside, a memory's age weights are one unit in the last place larger."""
    plain = CategoryMemory.age_weights

    def larger(self: CategoryMemory) -> Tensor:
        weights = plain(self)
        return torch.nextafter(weights, torch.full_like(weights, torch.inf))

    return patch.object(CategoryMemory, "age_weights", larger)


def run_stream(
    case: Case, cls: type[Method], device: str, *, nudged: bool = False
) -> Callable[[str], Any]:
    """Replay the stream; returns what the method has for an array name, None if nothing.

    ``nudged`` moves every start weight by one unit in the last place.
    """
    spec, arrays = case.spec, case.arrays
    torch.set_num_threads(1)
    dtype = getattr(torch, spec["dtype"])
    x = torch.as_tensor(arrays["x"]).to(device, dtype)
    model = make_model(spec["model"]).to(device, dtype)
    load_part(model, case.under(spec["start"]["student"]))
    if nudged:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(torch.nextafter(parameter, torch.full_like(parameter, torch.inf)))
    found: dict[str, list[Any]] = {}
    with torch.no_grad():
        found["source_logits"] = [model.eval()(batch).cpu() for batch in x]
    views = None
    if spec.get("views"):
        views = ReplayedViews(spec["views"], spec["arguments"], arrays)
    method, n_resets = make_method(case, cls, model, views)
    check_trained(method, spec.get("trained_parameters"))
    if spec.get("reset") == "official":
        expected = {SURVIVORS[name] for name in spec.get("survives_reset") or []}
        ours = set(method.survives_reset)
        assert ours == expected, f"survives a reset: {sorted(ours)}, expected: {sorted(expected)}"
    method.observers.append(
        lambda name, value: found.setdefault(name, []).append(value.to("cpu", copy=True))
    )
    if spec.get("source_data"):
        method.prepare(source_data(case))
    method.remember()
    prepared = {k: quantity(method, k.removeprefix("warmup/"), spec) for k in arrays.files}
    traced = {k: [] for k in arrays.files if k.startswith("trace/") or "/" not in k}
    after1: dict[str, Any] = {}
    resets_before = set(spec.get("resets_before") or [])
    for batch, (first_of_batch, feed) in enumerate(feeds(x, spec)):
        if first_of_batch in resets_before:
            method.reset()
        if views:
            views.begin_batch()
        before = len(n_resets)
        found.setdefault("logits", []).append(feed(method).cpu())
        found.setdefault("resets", []).append(torch.tensor([len(n_resets) - before]))
        for key, values in traced.items():
            if key.startswith("trace/memory/"):
                width = arrays[key].shape[1]
                values.append(memory_column(method, key.rpartition("/")[2], width, x.cpu()))
            else:
                values.append(quantity(method, key.removeprefix("trace/"), spec))
        if batch == 0:
            names = [key for key in arrays.files if key.startswith("after1/")]
            after1 = {key: quantity(method, key.removeprefix("after1/"), spec) for key in names}

    steps = spec.get("steps") or 1

    def mine(key: str) -> Any:
        if key.startswith(("warmup/", "fisher/", "prototypes")) and key not in found:
            return prepared[key]
        if key.endswith("_packed") and key.removesuffix("_packed") in found:
            rows = [np.packbits(row.numpy()) for row in found[key.removesuffix("_packed")]]
            return np.stack(rows)
        if key.endswith("_first_step") and key.removesuffix("_first_step") in found:
            return found[key.removesuffix("_first_step")][0]
        if key in TOTALS and TOTALS[key] in found:
            counts = torch.stack([mask.sum() for mask in found[TOTALS[key]]])
            return counts.cumsum(0)[steps - 1 :: steps]
        if key in traced and key not in found:
            values = traced[key]
            if any(v is None for v in values):
                return None
            return torch.stack(torch.broadcast_tensors(*values))  # "none yet" is one NaN
        if key in after1:
            return after1[key]
        if key.startswith("final/"):
            return quantity(method, key.removeprefix("final/"), spec)
        if key not in found:
            return None
        values = [v.reshape(1) if v.ndim == 0 else v for v in found[key]]
        if key == "logits" and spec.get("returns") in ("probabilities", "scores"):
            values = [v.exp() for v in values]
        rows = len(np.asarray(arrays[key]))
        whole = sum(v.numel() for v in values) == np.size(arrays[key])
        if (
            steps > 1 and len(values) == steps * rows and not whole
        ):  # a row a batch: first update or last step
            values = values[::steps] if key.endswith("_logits") else values[steps - 1 :: steps]
        return torch.cat([v.detach() for v in values])

    return mine


def feeds(
    x: Tensor, spec: Mapping[str, Any]
) -> Iterator[tuple[int | None, Callable[[Method], Tensor]]]:
    """What the method is fed, in order: (index of the batch that begins here or None, feeder)."""
    window, size = spec.get("window") or 1, spec.get("batch_size") or x.shape[1]
    if size != x.shape[1] or window > 1:
        samples = x.reshape(-1, *x.shape[2:])
    if window == 1:
        batches = x if size == x.shape[1] else samples.split(size)
        for index, batch in enumerate(batches):
            yield index, lambda method, batch=batch: method(batch.clone())
        return
    ring = samples[:0]
    for index, sample in enumerate(samples):
        place = index % window
        if len(ring) < window:
            ring = torch.cat([ring, sample[None]])
        else:
            ring = ring.clone()
            ring[place] = sample
        full = place == window - 1

        def feed(
            method: Method, ring: Tensor = ring, place: int = place, full: bool = full
        ) -> Tensor:
            return (method(ring) if full else method.predict(ring))[place : place + 1]

        yield index // size if index % size == 0 else None, feed


def make_model(node: Mapping[str, Any]) -> TinyCNN | TinyViT:
    """The model that ``spec.model`` describes."""
    arguments = {key: value for key, value in node.items() if key != "name"}
    if node["name"] == "tiny-cnn":
        unknown = set(arguments) - {"num_classes", "in_channels", "channels", "strides", "bn_eps"}
        if unknown:
            raise RefusedError(f"spec.model: tiny-cnn has no argument {sorted(unknown)[0]!r}")
        return TinyCNN(**arguments)
    if node["name"] == "tiny-vit":
        ranks = dict(arguments.pop("adapters", None) or {})
        model = TinyViT(**arguments)
        patterns = ranks.pop("targets", [])
        names = [n for n, _ in model.named_modules() if any(fnmatchcase(n, p) for p in patterns)]
        if ranks:
            add_adapters(model, names, **ranks, generator=torch.Generator())
        return model
    raise RefusedError(f"spec.model: unknown model {node}")


def load_part(part: torch.nn.Module, saved: Mapping[str, Tensor]) -> None:
    """Load what the part has; statistics that it does not keep may be left over."""
    names = part.state_dict()
    missing = [name for name in names if name not in saved]
    extra = [name for name in saved if name not in names and not name.endswith(STATISTICS)]
    if missing or extra:
        raise RefusedError(f"start values: missing {missing}, left over {extra}")
    part.load_state_dict({name: saved[name] for name in names})


def make_method(
    case: Case, cls: type[Method], model: Any, views: ReplayedViews | None
) -> tuple[Method, list[None]]:
    """The method as the file describes it, with its draws replaced by the recorded ones."""
    spec, resets = case.spec, []
    takes = cls.__signature__.parameters
    arguments = dict(spec.get("arguments") or {})
    for name in arguments:
        if name not in takes:
            raise RefusedError(f"spec.arguments: {spec['method']} has no argument {name!r}")
    arguments |= optimizer_arguments(spec, takes)
    source = spec.get("source_data") or {}
    if "source_batch_size" in takes and source:
        arguments["source_batch_size"] = source["batch_size"]
    updates = [0]

    class Replayed(cls):  # type: ignore[misc, valid-type]
        def adapt(self, x: Tensor) -> Tensor:
            if views:
                views.begin_update()
            updates[0] += 1
            return super().adapt(x)

        def reset(self) -> None:
            resets.append(None)
            super().reset()

    method = Replayed(
        model,
        **arguments,
        steps=spec.get("steps") or 1,
        episodic=bool(spec.get("episodic")),
        reset=spec.get("reset") or "full",
    )
    for part, prefix in (spec.get("start") or {}).items():
        if part == "student" or prefix == spec["start"]["student"]:
            continue
        mine = getattr(method, part, None)
        if mine is None:
            raise RefusedError(f"spec.start: {spec['method']} has no part {part!r}")
        if isinstance(mine, Tensor):
            mine.copy_(torch.as_tensor(case.arrays[prefix]))
        elif isinstance(mine, Mapping):
            for name, value in mine.items():
                value.copy_(case.under(prefix)[name])
        else:
            load_part(mine, case.under(prefix))
    if views:
        if not hasattr(method, "augment"):
            raise RefusedError(f"spec.views: {spec['method']} draws no views")
        method.augment = views
    if spec.get("restore_mask"):
        if not isinstance(getattr(method, "restore", None), RandomRestore):
            raise RefusedError(f"spec.restore_mask: {spec['method']} restores nothing at random")
        method.restore = ReplayedRestore(case, method.restore, updates)
    return method, resets


def optimizer_arguments(spec: Mapping[str, Any], takes: Mapping[str, Any]) -> dict[str, Any]:
    """The first group as ``optimizer``; of another one what differs, as ``<group>_<key>``."""
    groups = [dict(group) for group in spec.get("optimizer") or []]
    names = [group.pop("group", "student") for group in groups]
    if not groups:
        return {}
    arguments: dict[str, Any] = {"optimizer": groups[0]}
    for name, group in zip(names[1:], groups[1:], strict=True):
        for key, value in group.items():
            if value != groups[0].get(key):
                arguments[f"{name}_{key}"] = value
    for name in arguments:
        if name not in takes:
            raise RefusedError(f"spec.optimizer: {spec['method']} has no argument {name!r}")
    return arguments


def source_data(case: Case) -> SourceData:
    """The training data that the file holds, in stored order."""
    spec = case.spec["source_data"]
    unknown = set(spec) - {"images", "labels", "batch_size", "order", "uses"}
    unknown |= set(spec["uses"]) - USES
    if unknown or spec["order"] not in ("stored_once", "stored_wrapping"):
        raise RefusedError(f"spec.source_data: unknown {sorted(unknown) or spec['order']}")
    images = torch.as_tensor(case.arrays[spec["images"]]).to(getattr(torch, case.spec["dtype"]))
    labels = torch.zeros(len(images), dtype=torch.int64)
    if spec["labels"]:
        labels = torch.as_tensor(case.arrays[spec["labels"]]).long()
    return SourceData(images, labels, identity="golden")


class ReplayedRestore(RandomRestore):
    """Restores what the file says was drawn."""

    def __init__(self, case: Case, drawn: RandomRestore, updates: list[int]) -> None:
        self.start, self.step = drawn.start, 0
        self.case, self.updates = case, updates

    def masks(self) -> Iterator[Tensor]:
        spec = self.case.spec
        for name, start in self.start.items():
            if spec["restore_mask"] == "array":
                pattern = spec["restore_mask_arrays"]["pattern"].format(name=name)
                mask = torch.as_tensor(self.case.arrays[pattern]).bool()
                yield mask.reshape(-1, *start.shape)[self.updates[0] - 1].to(start.device)
            else:
                yield torch.full_like(start, spec["restore_mask"] == "all", dtype=torch.bool)

    def __call__(self, parameters: Mapping[str, Tensor]) -> None:
        own = [parameters[name] for name in self.start]
        restore_where_(own, self.start.values(), self.masks())

    def after_ema(
        self,
        teacher: Mapping[str, Tensor],
        student: Mapping[str, Tensor],
        decay: float | Mapping[str, float],
    ) -> None:
        decays = [decay if isinstance(decay, float) else decay[name] for name in teacher]
        ema_(teacher.values(), [student[name] for name in teacher], decays)
        self(student)


def check_trained(method: Method, expected: Any) -> None:
    """The optimizer's parameters are those that the file names."""
    names = {id(p): name for name, p in method.model.named_parameters()}
    for part in ("projector", "feature_norm"):
        if isinstance(owner := getattr(method, part, None), torch.nn.Module):
            names |= {id(p): f"{part}.{name}" for name, p in owner.named_parameters()}
    optimizer = getattr(method, "optimizer", None)
    groups = optimizer.param_groups if optimizer else []
    trained = [names[id(p)] for group in groups for p in group["params"]]
    if expected == "all":
        expected = list(names.values())
    elif expected == "weight_and_bias":
        expected = [n for n in names.values() if n.rpartition(".")[2] in ("weight", "bias")]
    elif expected == "norm_affine":
        norms = [m for m in method.model.modules() if isinstance(m, NORMS)]
        expected = [names[id(p)] for m in norms for p in m.parameters(recurse=False)]
    elif not isinstance(expected or [], list):
        raise RefusedError(f"spec.trained_parameters: unknown value {expected!r}")
    assert set(trained) == set(expected or []), f"trained: {trained}, expected: {expected}"


def quantity(method: Method, path: str, spec: Mapping[str, Any]) -> Tensor | None:
    """Current value of ``<part>/<name>``, ``opt/<slot>/<name>``, ``momentum/<name>`` or ``<part>``.

    A part is a module, a dict of tensors, a tensor or a number; None of the last is NaN.
    """
    part, _, name = path.partition("/")
    owner = getattr(method, PARTS.get(part, part), path)
    if part == "momentum":
        name = f"momentum_buffer/{name}"
    if isinstance(owner, torch.optim.Optimizer):
        slot, _, name = name.partition("/")
        parameter = dict(method.model.named_parameters()).get(name)
        value = owner.state.get(parameter, {}).get(slot)
    elif isinstance(owner, torch.nn.Module | Mapping):
        for old, new in (spec.get("state_names") or {}).items():
            name = name.replace(old, new)
        value = (owner if isinstance(owner, Mapping) else owner.state_dict()).get(name)
    elif owner is None or isinstance(owner, int | float):
        value = torch.tensor(float("nan") if owner is None else owner, dtype=torch.float64)
    else:
        value = owner
    return value.detach().to("cpu", copy=True) if isinstance(value, Tensor) else None


def memory_column(method: Method, column: str, width: int, x: Tensor) -> Tensor | None:
    """A column of a memory of items, padded with -1; ``index`` is found by the image itself."""
    memory = getattr(method, "memory", None)
    if not isinstance(memory, CategoryMemory):
        return None
    stream = x.flatten(0, 1)
    values = {
        "age": memory.age,
        "class": lambda item: item.label,
        "uncertainty": lambda item: item.uncertainty,
        "index": lambda item: int((stream == item.image.cpu()).flatten(1).all(1).nonzero()[0]),
    }
    found = [values[column](item) for item in memory.items()]
    return torch.tensor(found + [-1] * (width - len(found)), dtype=torch.float64)
