"""One method for each line of the contract, breaking that line and no other."""

from __future__ import annotations

import inspect
import os
from pathlib import Path

import torch
from torch import Tensor

from ctta.methods.base import Method
from ctta.streams.stream import Batch


class Plain(Method):
    """Keeps the contract: a running mean of the logits is added to them."""

    paper, version = "none", 1

    def __init__(self, model, **shared):
        super().__init__(model, **shared)
        self.model.eval().requires_grad_(False)
        self.mean = torch.zeros(())

    def learn(self, x: Tensor) -> None:
        self.mean = 0.9 * self.mean.to(x) + 0.1 * x.mean()

    @torch.no_grad()
    def adapt(self, x: Tensor) -> Tensor:
        logits = self.predict(x)
        self.learn(x)
        return logits

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        return self.model(x) * (1 + self.mean.to(x))


class Shapes(Plain):
    def predict(self, x):
        logits = super().predict(x)
        return logits if len(x) == 1 else logits[:, :3]


class Finite(Plain):
    def adapt(self, x):
        logits = super().adapt(x)
        return logits / 0 if len(x) > 1 else logits


class ConstantInput(Plain):
    """Divides by the spread of the images."""

    def adapt(self, x):
        spread = x.std()
        return super().adapt(x) * (spread / spread)


class NoGraph(Plain):
    def __init__(self, model, **shared):
        super().__init__(model, **shared)
        self.model.requires_grad_(True)

    def predict(self, x):
        return self.model(x) * (1 + self.mean.to(x))


BORN = [0]


class Deterministic(Plain):
    def __init__(self, model, **shared):
        super().__init__(model, **shared)
        BORN[0] += 1
        self.mean = torch.tensor(BORN[0] / 100)


class DeepCopy(Plain):
    """The mean lives in a list that a copy shares."""

    class Shared(list):
        def __deepcopy__(self, memo):
            return self

    def __init__(self, model, **shared):
        super().__init__(model, **shared)
        self.mean = None
        self.box = self.Shared([0.0])

    def learn(self, x):
        self.box[0] += float(x.mean())

    @torch.no_grad()
    def predict(self, x):
        return self.model(x) * (1 + self.box[0])


class ResetReplays(Plain):
    def reset(self):
        mean = self.mean.clone()
        super().reset()
        self.mean = mean


class PredictIsPure(Plain):
    def __init__(self, model, **shared):
        super().__init__(model, **shared)
        self.n_asked = 0

    def predict(self, x):
        self.n_asked += 1
        return super().predict(x)


class StateIsWhole(Plain):
    """The mean is declared to be no state, and copied and reset by hand."""

    not_state = Method.not_state | {"mean"}

    def reset(self):
        super().reset()
        self.mean = torch.zeros(())


class Resume(Plain):
    """Keeps a number that no checkpoint's file can hold."""

    def __init__(self, model, **shared):
        super().__init__(model, **shared)
        self.phase = torch.ones((), dtype=torch.complex128)

    def learn(self, x):
        super().learn(x)
        self.phase = self.phase * 1j


class BatchUnchanged(Plain):
    def adapt(self, x):
        logits = super().adapt(x)
        x.clamp_(0.25, 0.75)
        return logits


class ModelUnchanged(Plain):
    """Counts in a buffer of the model that it was given, which nothing computes with."""

    def __init__(self, model, **shared):
        super().__init__(model, **shared)
        self.given = [model]

    not_state = Method.not_state | {"given"}

    def adapt(self, x):
        for name, buffer in self.given[0].named_buffers():
            if name.endswith("num_batches_tracked"):
                buffer.add_(1)
        return super().adapt(x)


class LastBatchOfOne(Plain):
    def adapt(self, x):
        if len(x) == 1:
            raise ValueError("expected more than one image")
        return super().adapt(x)


class DoublePrecision(Plain):
    def adapt(self, x):
        return super().adapt(x).float()


class OtherDevice(Plain):
    """Adds zeros that are made on the CPU, wherever the images are."""

    def adapt(self, x):
        logits = super().adapt(x)
        return logits + torch.zeros(logits.shape[1])


class NoGlobalDraws(Plain):
    def adapt(self, x):
        torch.rand(1)
        return super().adapt(x)


class NoReach(Plain):
    """Looks up the labels in whoever called it."""

    def adapt(self, x):
        logits = super().adapt(x)
        caller = inspect.currentframe()
        while caller is not None:
            batch = caller.f_locals.get("batch")
            if isinstance(batch, Batch):
                return logits + torch.nn.functional.one_hot(batch.y, logits.shape[1])
            caller = caller.f_back
        return logits


class NoFiles(Plain):
    def adapt(self, x):
        Path(os.devnull).read_bytes()
        return super().adapt(x)


class BoundedMemory(Plain):
    """Remembers one number of every batch."""

    def __init__(self, model, **shared):
        super().__init__(model, **shared)
        self.history: list[float] = []

    def learn(self, x):
        super().learn(x)
        self.history.append(float(x.mean()))


BAD: dict[str, type[Method]] = {
    "shapes": Shapes,
    "finite": Finite,
    "constant_input": ConstantInput,
    "no_graph": NoGraph,
    "deterministic": Deterministic,
    "deep_copy": DeepCopy,
    "reset_replays": ResetReplays,
    "predict_is_pure": PredictIsPure,
    "state_is_whole": StateIsWhole,
    "resume": Resume,
    "batch_unchanged": BatchUnchanged,
    "model_unchanged": ModelUnchanged,
    "last_batch_of_one": LastBatchOfOne,
    "double_precision": DoublePrecision,
    "other_device": OtherDevice,
    "no_global_draws": NoGlobalDraws,
    "no_reach": NoReach,
    "no_files": NoFiles,
    "bounded_memory": BoundedMemory,
}
