"""The command line as a user meets it: runs, mistakes, interruption."""

import json
import math
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from ctta import cli, composition

QUICK = ["dataset.n_images=32", "stream.batch_size=16", "dataset.corruptions=[fog,contrast]"]


def results(tmp_path):
    return sorted((tmp_path / "runs").glob("*/result.json"))


def test_a_run_leaves_its_record_and_reruns_to_the_same_bits(ctta, tmp_path):
    status, _, _ = ctta("run", "method=tent", *QUICK)
    assert status == 0
    (path,) = results(tmp_path)
    record = json.loads(path.read_text())
    assert record["config"]["method"]["optimizer"] == record["config"]["optimizer"]
    with np.load(path.with_name("trace.npz"), allow_pickle=False) as trace:
        assert len(trace["prediction"]) == 64
    assert path.with_name("config.yaml").is_file()
    status, out, _ = ctta("rerun", str(path))
    assert (status, "same bits" in out) == (0, True)


def test_a_search_is_told_the_error(ctta, tmp_path):
    ctta("run", "method=source", *QUICK)
    (path,) = results(tmp_path)
    assert composition.error_of(str(path)) == json.loads(path.read_text())["metrics"]["error_pct"]
    assert composition.error_of(None) == math.inf


def test_a_finished_run_is_not_run_again(ctta, tmp_path):
    ctta("run", "method=source", *QUICK)
    (path,) = results(tmp_path)
    before = path.stat().st_mtime_ns
    status, out, err = ctta("run", "method=source", *QUICK)
    assert status == 0
    assert "--force" in out + err
    assert path.stat().st_mtime_ns == before
    ctta("run", "method=source", "--force", *QUICK)
    assert path.stat().st_mtime_ns > before


def test_multirun_prints_a_table_and_draws_two_pictures(ctta, tmp_path):
    status, out, _ = ctta("run", "-m", "method=source,norm", *QUICK)
    assert status == 0
    assert "source" in out
    assert "norm" in out
    assert len(results(tmp_path)) == 2
    assert len(list((tmp_path / "runs").glob("*.png"))) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_a_narrow_terminal_does_not_cut_the_table(ctta, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    _, out, _ = ctta("run", "-m", "method=source", "stream.batch_size=8,16", *QUICK[::2])
    lines = [line for line in out.splitlines() if line.startswith(" source stream.batch_size=")]
    assert [len(line.split()) for line in lines] == [5, 5]  # name, two domains, mean
    assert "…" not in out


def test_output_that_nobody_reads_is_no_error():
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "ctta", "list"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


def test_dry_run_prints_hashes_and_builds_no_model(ctta, tmp_path, monkeypatch):
    from ctta.models import zoo

    def refuse(**_):
        raise AssertionError("a dry run touched the model")

    monkeypatch.setattr(zoo, "digits_model", refuse)
    status, out, _ = ctta("run", "--dry-run", *QUICK)
    assert status == 0
    assert "protocol_sha256" in out
    assert "stream_sha256" in out
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["method=nothing"], ["nothing", "cotta", "tent"]),
        (["dataset=nothing"], ["nothing", "digits_c"]),
        (["methd=tent"], ["methd", "method", "stream"]),
        (["method.rate=1", "method=tent"], ["rate", "optimizer"]),
        (["optimizer.lrr=1", "method=tent"], ["optimizer.lrr", "momentum"]),
        (["dataset.severity=9"], ["dataset", "severity", "9"]),
        (["method=tent", "optimizer.lr=abc"], ["lr", "abc"]),
        (["method=tent", "optimizer.lr=-1"], ["lr", "-1"]),
        (["method=tent", "optimizer.momentum=0.9"], ["momentum"]),
        (["method=source", "optimizer.lr=0.1"], ["optimizer.lr"]),
        (["stream.batch_size=0"], ["batch_size", "0"]),
        (["stream.setting=sideways"], ["sideways", "continual"]),
        (["dataset.corruptions=[mist]"], ["mist", "fog"]),
        (["method=cotta", "method.n_views=0"], ["n_views", "0"]),
        (["seed=x"], ["seed", "x"]),
        (["seed=-1"], ["seed", "-1"]),
        (["online.window=0"], ["window", "0"]),
        (["online.eta=0"], ["online.eta", "0"]),
        (["online.eta=x"], ["online.eta", "number", "x"]),
        (["online.eta=1", "online.window=2"], ["online.eta", "window=2"]),
        (["online.eta=1", "online.step_cost=guessed"], ["step_cost", "guessed", "measured"]),
        (["online.eta=1", "online.backward_cost=-1"], ["online.backward_cost", "-1"]),
        (["online.checkpoint_every=0"], ["online.checkpoint_every", "60s", "0"]),
        (["online.checkpoint_every=5m"], ["online.checkpoint_every", "batches", "5m"]),
        (["+stream.parameters.x=1"], ["parameters.x", "unknown"]),
        (["stream=petal_orders"], ["petal_3dcc", "gaussian_noise", "dataset.corruptions"]),
        (["compute.threads=0"], ["threads", "0"]),
        (["compute.device=tpu"], ["device", "tpu"]),
        (["compute.dtype=int8"], ["dtype", "int8", "bfloat16"]),
        (["compute.kernels=fast"], ["kernels", "fast", "reference"]),
        (["compute.channels_last=1"], ["compute.channels_last", "true or false", "1"]),
        (["compute.compile=fast"], ["compute.compile", "true or false", "fast"]),
        (["compute.prefetch=-1"], ["compute.prefetch", "at least 0", "-1"]),
        (["compute.memory_mib=0"], ["compute.memory_mib", "at least 1", "0"]),
        (["model=timm"], ["model.name"]),
        (["tracking=wandb", "tracking.mode=sideways"], ["tracking.mode", "offline", "sideways"]),
        (["tracking.name=wandb"], ["tracking.name", "tracking=wandb"]),
        (["tracking=wandb", "tracking.tags=mine"], ["tracking.tags", "'mine'", "[first,second]"]),
        (["tracking=wandb", "tracking.artifact=[model.pt]"], ["tracking.artifact", "model.pt"]),
        (["tracking=wandb", "tracking.group=[a]"], ["tracking.group", "['a']"]),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else None,
)
def test_mistakes_get_one_clear_line(ctta, overrides, words, tmp_path):
    status, out, err = ctta("run", *overrides)
    assert status != 0
    assert "Traceback" not in out + err
    for word in words:
        assert word in out + err
    assert not results(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fly"], ["fly", "run"]),
        (["list", "nothing"], ["nothing", "method"]),
        (["rerun", "absent.json"], ["absent.json"]),
        (["data", "path", "mnist"], ["mnist", "cifar10_c"]),
    ],
)
def test_other_commands_say_what_is_wrong(ctta, arguments, words):
    status, _, err = ctta(*arguments)
    assert status != 0
    assert "Traceback" not in err
    for word in words:
        assert word in err


def test_one_failing_run_leaves_the_others(ctta, tmp_path):
    status, _, err = ctta("run", "-m", "method=source,tent", "+method.nothing=1", *QUICK)
    assert status != 0
    status, _, err = ctta("run", "-m", "method=norm", "stream.batch_size=0,16", *QUICK[::2])
    assert status == 1
    assert "1 of 2 runs failed" in err
    assert len(results(tmp_path)) == 1


def test_a_sweep_says_how_far_it_is(ctta):
    *_, err = ctta(
        "run", "-m", "--dry-run", "method=glob([so*,norm])", "seed=0,1", "launcher=local", *QUICK
    )
    assert "1 of 4 runs done, 0 failed, 0 running, about" in err
    assert "4 of 4 runs done, 0 failed, 0 running" in err
    assert "runs done" not in ctta("run", "--dry-run", *QUICK)[2]


@pytest.mark.slow
def test_a_tuned_value_is_kept_with_its_budget_and_recorded(ctta, tmp_path):
    grid = ["method=tent", "optimizer.lr=0.001,0.3", "stream.seed=0,1", "dataset.n_images=32"]
    status, _, err = ctta("run", "sweep=tune", *grid)
    assert (status, "4 of 4 runs done" in err) == (0, True)
    folder = tmp_path / "runs/tuned"
    assert f"--config-dir {folder} experiment=tent_digits_c_digits_cnn" in " ".join(err.split())
    options = ["method=tent", "experiment=tent_digits_c_digits_cnn", "stream.seed=7"]
    for corruption, on_its_own in (("fog", False), ("spatter", True)):
        more = [*QUICK[:2], f"dataset.corruptions=[{corruption}]"]
        assert ctta("run", *options, *more, "--config-dir", str(folder))[0] == 0
        records = [json.loads(path.read_text()) for path in results(tmp_path)]
        (tuning,) = [
            r["tuning"] for r in records if list(r["error_by_domain"]) == [f"{corruption}-5"]
        ]
        assert (tuning["budget"], tuning["points"], tuning["rank"]) == (4, 2, 1)
        assert tuning["values"] == ["optimizer.lr=0.001"]
        assert tuning["on_its_own_stream"] is on_its_own


def test_a_launcher_that_is_not_installed_is_named(ctta):
    status, _, err = ctta("run", "hydra/launcher=nowhere", *QUICK)
    assert (status, err) == (
        2,
        'ctta: nowhere is not installed; type pip install "ctta[nowhere]"\n',
    )


BAD = """
import os, signal
from ctta.methods.source import Source

class Bad(Source):
    def adapt(self, x):
        if os.environ.get("BAD") == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        raise RuntimeError("broken")
"""


@pytest.fixture
def parallel(tmp_path, digits_cache):
    """Run source, a bad method and norm through joblib; returns (status, standard error)."""
    (tmp_path / "conf/method").mkdir(parents=True)
    (tmp_path / "conf/method/bad.yaml").write_text("_target_: bad_method.Bad")
    (tmp_path / "bad_method.py").write_text(BAD)
    places = {"CTTA_CACHE": str(digits_cache), "CTTA_RUNS": str(tmp_path / "runs")}
    path = f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"
    environment = {**os.environ, **places, "PYTHONPATH": path, "COLUMNS": "200"}

    def run(*overrides: str, **more: str):
        command = [sys.executable, "-m", "ctta", "run", "-m", "launcher=joblib", *overrides]
        command += [*QUICK, "--config-dir", "conf"]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment | more, capture_output=True, text=True
        )
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.mark.slow
def test_runs_at_once_do_not_harm_each_other(parallel, tmp_path):
    status, out, err = parallel("method=source,bad,norm", "seed=0,1")
    assert status == 1
    assert "6 of 6 runs done, 2 failed, 0 running" in err
    assert "ctta: 2 of 6 runs failed\n  batch 0: RuntimeError: broken" in err
    assert "source" in out
    assert "norm" in out
    statuses = [json.loads(path.read_text())["status"] for path in results(tmp_path)]
    assert sorted(statuses) == ["failed"] * 2 + ["finished"] * 4
    assert not (tmp_path / "runs/.sweeps").exists()


@pytest.mark.slow
def test_after_a_killed_run_the_same_command_goes_on(parallel, tmp_path):
    status, _, err = parallel("method=source,bad,norm", BAD="killed")
    assert status == 1
    assert "ended without a word" in err
    assert "Type the same command to go on" in err
    status, _, _ = parallel("method=source,norm")
    assert (status, len(results(tmp_path))) == (0, 2)


def test_interruption_keeps_what_is_finished(ctta, tmp_path, monkeypatch):
    from ctta.methods.norm import Norm

    def interrupt(self, x):
        raise KeyboardInterrupt

    monkeypatch.setattr(Norm, "adapt", interrupt)
    status, _, err = ctta("run", "-m", "method=source,norm", *QUICK)
    assert status == 130
    assert "interrupted" in err
    assert [json.loads(p.read_text())["status"] for p in results(tmp_path)] == [
        "failed",
        "finished",
    ]


def test_a_failed_repetition_leaves_the_finished_run(ctta, tmp_path, monkeypatch):
    from ctta.methods.norm import Norm

    ctta("run", "method=norm", *QUICK)
    (path,) = results(tmp_path)
    before = path.read_text()
    monkeypatch.setattr(Norm, "adapt", lambda self, x: x / 0)
    assert ctta("run", "method=norm", "--force", *QUICK)[0] == 1
    assert path.read_text() == before


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("out of\nmemory"), "batch 1: RuntimeError: out of memory"),
        (KeyboardInterrupt(), "interrupted"),
        (OSError(28, "No space left on device"), "batch 1: OSError: [Errno 28] No space left"),
    ],
    ids=["its own", "Ctrl-C", "full disk"],
)
def test_a_run_that_stops_is_recorded_with_its_reason(ctta, tmp_path, monkeypatch, error, reason):
    from ctta.methods.source import Source

    calls = []

    def adapt(self, x):
        calls.append(x)
        if len(calls) == 2:
            raise error
        return self.predict(x)

    monkeypatch.setattr(Source, "adapt", adapt)
    status, _, err = ctta("run", "method=source", *QUICK)
    assert status != 0
    assert "Traceback" not in err
    (path,) = tmp_path.glob("runs/*/result.json")
    record = json.loads(path.read_text())
    assert record["status"] == "failed"
    assert record["reason"].startswith(reason)
    assert "Traceback" in (path.parent / "log.txt").read_text()
    assert not (path.parent / "trace.npz").exists()


def test_what_was_said_before_the_run_had_a_folder_is_in_its_log(ctta, tmp_path):
    status, _, err = ctta("run", "method=sar", *QUICK)
    assert status == 0
    assert "finds no layer in digits_cnn" in err
    (path,) = tmp_path.glob("runs/*/log.txt")
    assert path.read_text().count("finds no layer in digits_cnn") == 1


def test_a_run_folder_that_cannot_be_written_is_one_line(ctta, tmp_path):
    (tmp_path / "runs").write_text("a file")
    status, _, err = ctta("run", "method=source", *QUICK)
    assert status != 0
    assert "Traceback" not in err
    assert "runs" in err


def test_list_shows_groups_and_choices(ctta):
    assert "tent" in ctta("list")[1]
    status, out, _ = ctta("list", "method")
    assert status == 0
    assert "CoTTA" in out


def test_help_and_version(ctta):
    assert ctta("--help")[0] == 0
    assert ctta("--version")[1].startswith("ctta ")
    for command in ("run", "prepare"):
        status, out, _ = ctta(command, "--help")
        assert status == 0
        assert out.startswith(f"ctta {command}: ")
        assert "method: adanpc" in out


def test_what_a_method_needs_of_the_source_is_prepared_once(ctta, tmp_path):
    few = ["method=eata", *QUICK]
    status, _, err = ctta("prepare", *few)
    assert status == 0, err
    assert "preparing eata from" in " ".join(err.split())
    ready = re.search(r"ready after \d+\.\d s: ([0-9a-f]{64})", " ".join(err.split()))
    status, _, err = ctta("run", *few)
    assert (status, "preparing" in err) == (0, False)
    (path,) = results(tmp_path)
    assert json.loads(path.read_text())["artefact"]["sha256"] == ready[1]
    status, _, err = ctta("prepare", "method=tent", *QUICK)
    assert (status, "tent needs no source data" in err) == (0, True)


def test_a_missing_value_is_named_with_its_whole_key(ctta):
    _, _, err = ctta("run", "method=cotta", "method.restore_prob=???")
    assert "method.restore_prob: expected a value, got none; type method.restore_prob=..." in err


def listed_for(method, err):
    """The overrides that a warning names."""
    after = err.partition(f"for what is tuned for {method}, type")[2]
    return re.split("INFO|WARNING|ERROR", after)[0].split()


def test_a_frozen_method_says_what_is_tuned_for_it(ctta, tmp_path):
    """Hydra finds tuned values by the outer name: the inner method's are listed to be typed."""
    frozen = ["run", "method=frozen", "method@method.method=cotta", *QUICK]
    status, _, err = ctta(*frozen)
    listed = listed_for("cotta", err)
    assert "method.method.n_views=4" in listed
    assert status == 1
    status, _, err = ctta(*frozen, *listed)
    assert (status, "what is tuned" in err) == (0, False)
    (path,) = results(tmp_path)
    config = json.loads(path.read_text())["config"]
    assert config["method"]["method"]["n_views"] == 4
    assert "what is tuned" not in ctta("run", "method=frozen", *QUICK)[2]


def test_a_frozen_method_without_optimizer_says_how_to_leave_it_out(ctta):
    frozen = ["run", "method=frozen", "method@method.method=norm", *QUICK]
    _, _, err = ctta(*frozen)
    listed = listed_for("norm", err)
    assert "optimizer.lr=null" in listed
    assert ctta(*frozen, *listed)[0] == 0


def test_a_group_of_groups_says_so(ctta):
    status, out, _ = ctta("list", "experiment")
    assert (status, "ctta reproduce list" in out) == (0, True)
    assert "digits_c/        continual/, first_100/" in out
    assert "experiment/digits_c" not in ctta("list")[1]
    assert "tent" in ctta("list", "experiment/digits_c/continual/")[1]
    status, _, err = ctta("run", "experiment=x")
    assert status != 0
    assert "Could not find 'experiment/x'" in err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ctta ", set(cli.COMMANDS)),
        ("ctta run method=cot", {"method=cotta"}),
        ("ctta prepare method=cotta method.n_v", {"method.n_views="}),
        (
            "ctta run -m method=norm stream.s",
            {"stream.seed=", "stream.setting=", "stream.shuffle="},
        ),
        ("ctta rerun runs/", set()),
    ],
)
def test_completion_knows_commands_groups_and_keys(ctta, monkeypatch, line, words):
    monkeypatch.setenv("COMP_LINE", line)
    status, out, _ = ctta("-sc", "query=bash")
    assert status == 0
    assert set(out.split()) == words


def test_the_completion_script_is_for_the_whole_command_line(ctta):
    for arguments in (["-sc", "install=bash"], ["run", "-sc", "install=bash"]):
        status, out, _ = ctta(*arguments)
        assert status == 0
        assert out.rstrip().endswith("-F hydra_bash_completion ctta")
