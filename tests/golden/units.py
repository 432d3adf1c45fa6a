"""Unit files: functions on given inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from compare import Case, Report, check, matching
from torch import Tensor
from views import RefusedError, ReplayedViews

from ctta.kernels import ema_, restore_where_
from ctta.kernels.reference import quantile
from ctta.parts.augment import apply_view
from ctta.parts.category_memory import CategoryMemory
from ctta.parts.contrastive import contrastive_loss, make_projector
from ctta.parts.losses import entropy, soft_likelihood_ratio, symmetric_cross_entropy
from ctta.parts.view_stages import view_stages

OF_LOGITS = {"entropy": entropy, "soft_likelihood_ratio": soft_likelihood_ratio}
PADDING = {"edge": "replicate", "reflect": "reflect"}


def replay_unit(case: Case, report: Report) -> Report:
    """Make the calls of the file and compare; functions that do not exist are listed as skipped."""
    spec, results = case.spec, {}
    for call in spec["calls"]:
        unknown = set(call) - {"function", "inputs", "arguments", "outputs"}
        if unknown:
            raise RefusedError(f"spec.calls: unknown key {sorted(unknown)[0]!r}")
        if call["function"] == "augmentation_chain":
            results |= augmentation_chain(case, call)
        elif call["function"] in ("symmetric_cross_entropy", *OF_LOGITS):
            results |= loss(case, call)
        elif call["function"] == "quantile":
            results |= quantiles(case, call)
        elif call["function"] == "contrastive_loss":
            results |= contrast(case, call)
        elif call["function"] == "category_balanced_memory":
            results |= memory_states(case, call)
        elif call["function"] in ("ema", "masked_ema"):
            results |= moved(case, call)
        else:
            report.skipped.append(f"function {call['function']}")
    for kind in ("compare", "diagnostics"):
        for pattern, tolerance in (spec.get(kind) or {}).items():
            for key in matching(case, pattern):
                if key in results:
                    check(key, case.arrays[key], results[key], tolerance, True, report)
                else:
                    report.skipped.append(key)
    return report


def augmentation_chain(case: Case, call: dict[str, Any]) -> dict[str, Any]:
    """Every row of the recorded draws; the stages of the first call in their order."""
    spec, arrays = case.spec, case.arrays
    unknown = set(call["arguments"]) - {"padding"}
    if unknown:
        raise RefusedError(f"augmentation_chain: unknown argument {sorted(unknown)[0]!r}")
    padding = PADDING[call["arguments"].get("padding", "edge")]
    x = torch.as_tensor(arrays[call["inputs"]["x"]]).to(getattr(torch, spec["dtype"]))
    views = ReplayedViews(spec["views"], {}, arrays)
    values, results = [], {}
    for row in range(spec["views"]["count"]):
        draws = views.draws(row)
        values.append(apply_view(x, draws, padding=padding))
        if row == 0 and "stages_of_call_0" in call["outputs"]:
            stages = [value for _, value in view_stages(x, draws, padding=padding)]
            prefix = call["outputs"]["stages_of_call_0"].rstrip("*")
            names = [name for name in arrays.files if name.startswith(prefix)]
            results |= dict(zip(names, stages, strict=True))
    return {**results, call["outputs"]["value"]: torch.stack(values)}


def loss(case: Case, call: dict[str, Any]) -> dict[str, Any]:
    """A loss of logits, one value a row, and its gradients."""
    given: dict[str, Tensor] = {
        key: torch.tensor(np.asarray(case.arrays[array]), requires_grad=True)
        for key, array in call["inputs"].items()
    }
    if call["function"] in OF_LOGITS:
        value = OF_LOGITS[call["function"]](given["logits"])
    else:
        share = call["arguments"]["alpha"]
        value = symmetric_cross_entropy(given["student_logits"], given["teacher_logits"], share)
    results: dict[str, Any] = {}
    for output, array in call["outputs"].items():
        if output == "value":
            results[array] = value.detach()
        elif output.startswith(("sum_gradient_", "gradient_")):
            of = output.removeprefix("sum_").removeprefix("gradient_")
            total = value.sum() if output.startswith("sum_") else value.mean()
            results[array] = torch.autograd.grad(total, given[of], retain_graph=True)[0]
    return results


def quantiles(case: Case, call: dict[str, Any]) -> dict[str, Any]:
    """One quantile a level."""
    values = torch.as_tensor(case.arrays[call["inputs"]["values"]]).reshape(-1)
    levels = np.asarray(case.arrays[call["inputs"]["levels"]]).reshape(-1)
    found = torch.stack([quantile(values, float(level)) for level in levels])
    return {call["outputs"]["value"]: found}


def moved(case: Case, call: dict[str, Any]) -> dict[str, Any]:
    """Teacher tensors after a moving average; where a mask is true, the student's value."""
    teacher, student = (case.under(call["inputs"][part]) for part in ("teacher", "student"))
    student = {name: student[name] for name in teacher}
    ema_(teacher.values(), student.values(), call["arguments"]["ema_decay"])
    if call["function"] == "masked_ema":
        mask = case.under(call["inputs"]["mask"])
        where = [mask[name].bool() for name in teacher]
        restore_where_(teacher.values(), student.values(), where)
    return {f"{call['outputs']['value']}/{name}": value for name, value in teacher.items()}


def contrast(case: Case, call: dict[str, Any]) -> dict[str, Any]:
    """The contrastive loss and its gradients."""
    features = torch.tensor(np.asarray(case.arrays[call["inputs"]["features"]]), requires_grad=True)
    saved = case.under(call["inputs"]["projector"])
    projector = make_projector(features.shape[-1], len(saved["0.weight"]), torch.Generator())
    projector.to(features.dtype).load_state_dict(saved)
    loss = contrastive_loss(features, projector, call["arguments"]["temperature"])
    loss.backward()
    results: dict[str, Any] = {}
    for output, array in call["outputs"].items():
        if output == "value":
            results[array] = loss.detach()
        elif output == "gradient_features":
            results[array] = features.grad
        else:
            name = output.removeprefix("gradient_projector.")
            results[array] = dict(projector.named_parameters())[name].grad
    return results


def memory_states(case: Case, call: dict[str, Any]) -> dict[str, Any]:
    """The memory after each insertion; an item's image is its number."""
    arguments = dict(call["arguments"])
    memory = CategoryMemory(arguments.pop("max_memory"), arguments.pop("num_classes"), **arguments)
    labels = case.arrays[call["inputs"]["class"]].tolist()
    uncertainties = case.arrays[call["inputs"]["uncertainty"]].tolist()
    states = np.full(case.arrays[call["outputs"]["states"]].shape, -1.0)
    for step, (label, uncertainty) in enumerate(zip(labels, uncertainties, strict=True)):
        memory.add(torch.tensor(step), label, uncertainty)
        for row, item in enumerate(memory.items()):
            states[step, row] = int(item.image), memory.age(item)
    return {
        call["outputs"]["states"]: states,
        call["outputs"]["age_weights"]: memory.age_weights(),
    }
