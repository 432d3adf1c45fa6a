"""A place where sweeps run as processes, with methods that fail, are killed or take their time."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the tests of this folder share `cluster`

METHODS = """
import os, signal, time
from pathlib import Path

from ctta.methods.source import Source


class Raises(Source):
    def adapt(self, x):
        raise RuntimeError("broken")


class Killed(Source):
    def adapt(self, x):
        os.kill(os.getpid(), signal.SIGKILL)


class KilledOnce(Source):
    def adapt(self, x):
        if not Path("killed").exists():
            Path("killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().adapt(x)


class Slow(Source):
    '''A batch takes a moment until somebody lets go; says when it is under way.'''

    def __init__(self, model, **shared):
        super().__init__(model, **shared)
        self.n = 0

    def adapt(self, x):
        self.n += 1
        if self.n == 4:
            Path("under_way", str(os.getpid())).touch()
        if not Path("go").exists():
            time.sleep(0.25)
        return super().adapt(x)


class TellsGPU(Source):
    def adapt(self, x):
        Path("gpus", str(os.getpid())).write_text(os.environ["CUDA_VISIBLE_DEVICES"])
        return super().adapt(x)
"""
SHORT = ["dataset.n_images=200", "stream.batch_size=1", "dataset.corruptions=[fog]"]


class Place:
    """A folder in which sweeps are started.

    Attributes:
        runs: the store.
    """

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder, self.runs = folder, folder / "runs"
        (folder / "conf/method").mkdir(parents=True)
        for name in ("Raises", "Killed", "KilledOnce", "Slow", "TellsGPU"):
            path = folder / f"conf/method/{name.lower()}.yaml"
            path.write_text(f"_target_: test_methods.{name}")
        (folder / "test_methods.py").write_text(METHODS)
        for name in ("under_way", "gpus"):
            (folder / name).mkdir()
        path = f"{folder}:{os.environ.get('PYTHONPATH', '')}"
        places = {"CTTA_CACHE": str(cache), "CTTA_RUNS": str(self.runs), "PYTHONPATH": path}
        self.environment = {**os.environ, **places, "COLUMNS": "400", "OMP_NUM_THREADS": "1"}

    def start(self, *words: str) -> subprocess.Popen:
        """Start ``ctta run``."""
        command = [sys.executable, "-m", "ctta", "run", *words, *SHORT, "--config-dir", "conf"]
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *words: str) -> tuple[int, str, str]:
        """``ctta run`` to its end: exit status, standard output and error."""
        process = self.start(*words)
        out, err = process.communicate(timeout=300)
        return process.returncode, out, err

    def records(self, method: str = "*") -> dict[str, dict]:
        """Folder -> record of the finished runs."""
        found = {
            path.parent.name: json.loads(path.read_text())
            for path in self.runs.glob(f"{method}-*/result.json")
        }
        return {name: found[name] for name in sorted(found) if found[name]["status"] == "finished"}

    def under_way(self) -> int:
        """How many slow runs have begun."""
        return len(list((self.folder / "under_way").iterdir()))

    def let_go(self) -> None:
        """Slow runs are slow no longer."""
        (self.folder / "go").touch()


@pytest.fixture
def place(tmp_path, digits_cache):
    """See `Place`."""
    return Place(tmp_path, digits_cache)
