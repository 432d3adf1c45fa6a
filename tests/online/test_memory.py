"""The memory of a run does not grow with the length of its stream."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from ctta.data.sequential import SequentialData
from ctta.methods.source import Source
from ctta.models.source import WrappedModel
from ctta.online.collapse import CollapseGuard
from ctta.online.loop import run_online
from ctta.online.observers import Progress
from ctta.results.metrics import error_by_domain, summarise
from ctta.streams.sequential import SequentialStream

N_BATCHES, BATCH_SIZE = 100_000, 8
FIRST = 100  # batches after which nothing may grow


class Endless(SequentialData):
    """A synthetic stream that keeps nothing."""

    name, n_classes, identity = "endless", 10, {"id": "endless"}
    n_images = N_BATCHES * BATCH_SIZE

    def blocks(self, start, size):
        for first in range(start, self.n_images, size):
            labels = torch.arange(first, first + size) % 10
            pixels = (labels * 25).to(torch.uint8)
            yield pixels[:, None, None, None].expand(-1, 3, 2, 2), labels


class Resident:
    """An observer that looks at the memory of the process after `FIRST` batches.

    The peak of the process is set back there: what was taken before, and given back, hides nothing.
    """

    def on_start(self, stream, so_far):
        self.n_batches = 0

    def on_batch(self, batch, logits):
        self.n_batches += 1
        if self.n_batches == FIRST:
            Path("/proc/self/clear_refs").write_text("5")
            self.after_first = peak_mib()

    def on_end(self, trace):
        self.at_the_end = peak_mib()

    def close(self):
        pass


def peak_mib():
    """The most that this process had in memory, with the pages of mapped files."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmHWM")


def measure(folder):
    """Print what a run has taken by the end of each step, in MiB above its first batches."""
    torch.set_num_threads(1)
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 10)).eval()
    model = WrappedModel(network, name="linear", image_shape=(3, 2, 2))
    watch = Resident()
    trace = run_online(
        Source(model),
        SequentialStream(Endless(), batch_size=BATCH_SIZE),
        observers=[Progress("endless"), CollapseGuard(stops=False), watch],
        prefetch=2,
        checkpoint=folder / "checkpoint",
        checkpoint_every=N_BATCHES // 4,
    )
    found = {"rows": len(trace), "run": watch.at_the_end}
    trace.sha256()
    found["hash"] = peak_mib()
    summarise(trace), error_by_domain(trace)
    found["metrics"] = peak_mib()
    trace.save(folder / "trace.npz")
    found["saved"] = peak_mib()
    print(json.dumps({k: v if k == "rows" else v - watch.after_first for k, v in found.items()}))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_a_hundred_thousand_batches_take_no_more_memory_than_a_hundred(tmp_path):
    command = [sys.executable, __file__, str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert found.pop("rows") == N_BATCHES * BATCH_SIZE
    assert all(more < 8 for more in found.values()), found


if __name__ == "__main__":
    measure(Path(sys.argv[1]))
