"""Lines of the contract about what a method keeps: copied, saved, reset, and nothing else."""

from __future__ import annotations

import copy
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from ctta.models.source import SourceModel, weights_hash
from ctta.online.loop import NonFiniteOutputError, run_online
from ctta.testing.material import (
    N_BATCHES,
    BrokenLineError,
    Prepared,
    answers,
    batches,
    first_difference,
    same_tensors,
)
from ctta.testing.reach import TwoFutures


def deterministic(make: Prepared, model: SourceModel) -> None:
    if differing := first_difference(make.artefact(model), make.artefact(model)):
        raise BrokenLineError(f"two preparations gave another artefact: '{differing}' differs")
    if not same_tensors(answers(make(model), batches()), answers(make(model), batches())):
        raise BrokenLineError("two methods of one seed gave different logits")


def deep_copy(make: Prepared, model: SourceModel) -> None:
    method = make(model)
    answers(method, batches(1))
    twin = copy.deepcopy(method)
    kept = twin.state_dict()
    first = answers(method, batches(seed=1))
    if moved := first_difference(kept, twin.state_dict()):
        raise BrokenLineError(f"the copy's '{moved}' moved with the original")
    if not same_tensors(first, answers(twin, batches(seed=1))):
        raise BrokenLineError("the copy went another way than the original")


def reset_replays(make: Prepared, model: SourceModel) -> None:
    method = make(model)
    method.reset_kind = "full"  # what survives an official reset shows afterwards
    first = answers(method, batches())
    method.reset()
    if not same_tensors(first, answers(method, batches())):
        raise BrokenLineError("after a full reset the same batches gave other logits")


def predict_is_pure(make: Prepared, model: SourceModel) -> None:
    method = make(model)
    answers(method, batches(1))
    before = method.state_dict()
    method.predict(batches(1, seed=1)[0])
    if moved := first_difference(before, method.state_dict()):
        raise BrokenLineError(f"predict moved '{moved}'")


def state_is_whole(make: Prepared, model: SourceModel) -> None:
    method = make(model)
    answers(method, batches(2))
    try:
        state = method.state_dict()
    except ValueError as error:
        raise BrokenLineError(str(error)) from error
    other = make(model)
    other.load_state_dict(state)
    if not same_tensors(answers(method, batches(seed=1)), answers(other, batches(seed=1))):
        raise BrokenLineError("a new method with the saved state went another way")


def resume(make: Prepared, model: SourceModel) -> None:
    try:
        goes_on(make, model)
    except BrokenLineError:
        try:
            state_is_whole(make, model)
        except BrokenLineError:
            return  # that line's matter: no file can hold more than the state
        raise


def goes_on(make: Prepared, model: SourceModel) -> None:
    """Raise where a run that is resumed from its file has another trace."""
    first, second = (make(copy.deepcopy(model)) for _ in range(2))
    if first_difference(first.start, second.start):
        return  # the line `deterministic`: what is unchanged since the start is not saved again
    stream = TwoFutures(0)
    with TemporaryDirectory() as folder:
        path = Path(folder)
        try:
            whole = run_online(first, stream, checkpoint=path, checkpoint_every=N_BATCHES)
            resumed = run_online(second, stream, resume_from=path)
        except NonFiniteOutputError:
            return  # the line `finite`
        except Exception as error:
            raise BrokenLineError(
                f"a checkpoint could not be written or read: {type(error).__name__}: {error}"
            ) from error
    for name, column in whole.samples.items():
        if not np.array_equal(column, resumed.samples[name], equal_nan=column.dtype.kind == "f"):
            raise BrokenLineError(f"the resumed run's column '{name}' differs")


def batch_unchanged(make: Prepared, model: SourceModel) -> None:
    x = batches(1)[0]
    make(model)(x)
    if not torch.equal(x, batches(1)[0]):
        raise BrokenLineError("the images were written to: work on a copy")


def model_unchanged(make: Prepared, model: SourceModel) -> None:
    before = weights_hash(model)
    answers(make(model), batches())
    if weights_hash(model) != before:
        raise BrokenLineError("the caller's model was changed: adapt self.model, which is a copy")
