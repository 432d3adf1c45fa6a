"""The command line; with `plugins` the only module that sees Hydra."""

from __future__ import annotations

import importlib
import json
import logging
import math
import os
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from signal import SIGINT
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import yaml
from rich.console import Console
from rich.logging import RichHandler

from ctta import __version__
from ctta.online.stopping import RunStoppedError, StopSignals

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from ctta.results.result import Result
    from ctta.results.run import Experiment

log = logging.getLogger("ctta")
COMMANDS = {  # what is not done here has a module in `ctta.commands`
    "run": ("[key=value ...]", "adapt a source model to a stream; `ctta run --help` has the keys"),
    "prepare": ("[key=value ...]", "build what a method needs of the source data beforehand"),
    "rerun": ("result.json", "run a record again and compare"),
    "stats": ("[run ...]", "means over seeds with intervals, ranks, paired differences"),
    "reproduce": ("list | NAME", "published numbers; one of them run again, with a verdict"),
    "list": ("[group]", "what can be chosen"),
    "data": ("list|download|verify|path", "data sets: licences, download, checksums, places"),
    "runs": ("list|show|diff|gc|retry", "the store of runs: find, compare, run again, clean up"),
    "cite": ("result.json ...", "BibTeX for the methods, data sets and models of results"),
    "check": ("method [key=value ...]", "does a method keep the contract, line by line"),
    "new-method": ("name [--folder DIR]", "write a package with a method, its YAML and its tests"),
}
COMPLETION = {"-sc", "--shell-completion"}
INNER = "method@method.method"
EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130
EXIT_STOPPED = 75  # EX_TEMPFAIL of sysexits.h: a launcher starts the same command again


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the console script; exits with a status that is zero only on success."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if COMPLETION & set(arguments):
        sys.exit(complete([a for a in arguments if a not in COMMANDS]))
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(usage())
        sys.exit(0 if arguments else EXIT_USAGE)
    if arguments[0] == "--version":
        sys.stdout.write(f"ctta {__version__}\n")
        sys.exit(0)
    name = arguments[0]
    if name not in COMMANDS:
        fail(f"expected a command ({', '.join(COMMANDS)}), got {name!r}; type 'ctta --help'")
    log.handlers = []
    say_on_standard_error()
    try:
        status = command(name)(arguments[1:])
    except BrokenPipeError:  # as of `ctta list | head -1`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        sys.exit(EXIT_FAILED)
    except (ValueError, OSError) as error:
        fail(one_line(error))
    except KeyboardInterrupt:
        log.error("interrupted; what is finished is kept. Type the same command to go on.")
        sys.exit(EXIT_INTERRUPTED)
    except RunStoppedError as stopped:
        log.error("%s. Type the same command to go on.", stopped)
        sys.exit(EXIT_INTERRUPTED if stopped.signal == SIGINT else EXIT_STOPPED)
    sys.exit(status)


def say_on_standard_error() -> None:
    """Show what is logged, unless that is done already."""
    if not log.handlers:
        handler = RichHandler(console=Console(stderr=True), show_path=False, show_time=False)
        handler.setLevel(logging.INFO)  # a run's log.txt takes more
        log.handlers = [handler]
        log.setLevel(logging.INFO)


def usage() -> str:
    """What `ctta --help` prints."""
    forms = [f"{name} {form}" for name, (form, _) in COMMANDS.items()]
    width = max(map(len, forms))
    lines = [
        f"  ctta {form:<{width}}  {text}"
        for form, (_, text) in zip(forms, COMMANDS.values(), strict=True)
    ]
    return "\n".join(
        [
            "ctta: continual test-time adaptation, measured so that others can repeat it",
            "",
            *lines,
            "  ctta --version",
            "",
            'Completion in bash: eval "$(ctta -sc install=bash)"',
            "",
        ]
    )


def command(name: str) -> Callable[[Sequence[str]], int]:
    """What executes a command; its module is loaded now and not before."""
    if name in COMPOSING:
        return COMPOSING[name]
    module = importlib.import_module(f"ctta.commands.{name.replace('-', '_')}")
    return cast(Callable[[Sequence[str]], int], module.main)


def fail(message: str) -> None:
    """Write one line to standard error and exit."""
    sys.stderr.write(f"ctta: {message}\n")
    sys.exit(EXIT_USAGE)


def one_line(error: BaseException) -> str:
    """The error's text without line breaks; its type where it has no text."""
    return " ".join(str(error).split()) or type(error).__name__


# --- run ---------------------------------------------------------------------------------------


def run(arguments: Sequence[str]) -> int:
    """Compose the configuration with Hydra and execute every run that it describes."""
    from ctta.results.result import Result

    flags = {"--dry-run": "dry_run=true", "--force": "force=true"}
    status, paths = for_each("ctta run", [flags.get(a, a) for a in arguments], execute)
    if len(paths) > 1:
        report([Result.load(path) for path in paths])
    return status


def prepare(arguments: Sequence[str]) -> int:
    """Compose the configuration with Hydra and build each method's artefact."""
    header = "ctta prepare: build what a method needs of the source data, ahead of its runs."
    arguments = [f"hydra.help.header='{header}'", *arguments]
    return for_each("ctta prepare", arguments, lambda composed: experiment(composed).prepare())[0]


def reproduce(arguments: Sequence[str]) -> int:
    """Compose the configuration of a published number with Hydra, and run it again."""
    from ctta.commands.reproduce import main

    def compose(overrides: Sequence[str], action: Callable[[Experiment], None]) -> int:
        status, _ = for_each("ctta reproduce", overrides, lambda found: action(experiment(found)))
        return status

    return main(arguments, compose)


def check(arguments: Sequence[str]) -> int:
    """Compose the configuration with Hydra and read the contract of each method out."""
    from ctta.commands.check import read_out

    if not arguments or arguments[0].startswith("--config"):
        raise ValueError("expected a method first, as in: ctta check tent; `ctta list method`")
    if arguments[0].isidentifier():
        arguments = [f"method={arguments[0]}", *arguments[1:]]
    header = "ctta check: does a method keep the contract, line by line."
    arguments = [f"hydra.help.header='{header}'", *arguments]
    return for_each("ctta check", arguments, lambda composed: read_out(resolved(composed)))[0]


COMPOSING: dict[str, Callable[[Sequence[str]], int]] = {
    "run": run,
    "prepare": prepare,
    "check": check,
    "reproduce": reproduce,
}


def for_each(
    program: str, arguments: Sequence[str], action: Callable[[DictConfig], Path | None]
) -> tuple[int, list[Path]]:
    """Call ``action`` for every configuration that the arguments describe; say what failed.

    Returns:
        The exit status, and the paths that ``action`` returned.
    """
    import hydra
    from hydra.errors import CompactHydraException

    from ctta import plugins
    from ctta.assets import asset_dir
    from ctta.places import runs_dir
    from ctta.results.sweep import Outcome, Sweep

    plugins.extend_search_path()
    chosen = [a.partition("=")[2] for a in arguments if a.startswith("paths.runs=")]
    runs = runs_dir(chosen[-1] if chosen else None).resolve()
    sweep = Sweep(runs / ".sweeps" / uuid4().hex)

    def task(composed: DictConfig) -> float:
        # An exception must not leave this function: Hydra would end the whole sweep, or print a
        # traceback. Ctrl-C does leave it. A launcher may call it in another process.
        say_on_standard_error()
        number, total, elsewhere = place_in_sweep(arguments)
        outcome = Outcome(number, total, began=time.time())
        try:
            sweep.keep(outcome, for_others=elsewhere)
            path = action(composed)
            done = replace(outcome, status="finished", result=None if path is None else str(path))
        except (ValueError, OSError) as error:
            done = replace(
                outcome, status="failed", reason=one_line(error) + of_plugins(chosen_of_plugins())
            )
            log.error(done.reason)
        except Exception as error:
            reason = f"{type(error).__name__}: {one_line(error)}"
            done = replace(
                outcome, status="failed", reason=reason + of_plugins(chosen_of_plugins())
            )
            log.exception(reason)
        sweep.keep(done, for_others=elsewhere)
        if total != 1:
            log.info(sweep.progress())
        return error_of(done.result)

    sys.argv = [program, *arguments]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here, where there is more to say
    try:
        hydra.main(version_base="1.3", config_path=str(asset_dir("configs")), config_name="config")(
            task
        )()
    except CompactHydraException as error:
        fail(composition_error(error))
    except yaml.YAMLError as error:
        fail(one_line(error) + of_plugins(plugins.mentioned(str(error))))
    except Exception as error:
        if not sweep.outcomes():
            raise
        log.error("the launcher stopped: %s: %s", type(error).__name__, one_line(error))
        log.error("Every finished run is kept. Type the same command to go on.")
    finally:
        outcomes, failures = sweep.outcomes(), sweep.failures()
        sweep.remove()
    if failures:
        n = max(len(outcomes), outcomes[0].total or 0)
        sys.stderr.write(f"ctta: {len(failures)} of {n} runs failed\n")
        for reason in failures:
            sys.stderr.write(f"  {reason}\n")
    paths = [Path(outcome.result) for outcome in outcomes if outcome.result]
    return EXIT_FAILED if failures else 0, paths


def error_of(path: str | None) -> float:
    """What a sweeper that searches makes small: the error of a record; infinite without one."""
    from ctta.results.result import Result

    return math.inf if path is None else Result.load(Path(path)).metrics["error_pct"]


def place_in_sweep(arguments: Sequence[str]) -> tuple[int, int | None, bool]:
    """Which run this is, of how many (None: the sweeper decides as it goes), and whether a launcher
    runs them in processes of their own.
    """
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.types import RunMode

    hydra = HydraConfig.get()
    if hydra.mode != RunMode.MULTIRUN:
        return 0, 1, False
    elsewhere = hydra.runtime.choices["hydra/launcher"] != "basic"
    if hydra.runtime.choices["hydra/sweeper"] != "basic":
        return hydra.job.num, None, elsewhere
    swept = [f"{key}={values}" for key, values in (hydra.sweeper.params or {}).items()]
    typed = [a for a in arguments if "=" in a and not a.startswith("-")]
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    counts = {  # a key's last override counts
        override.get_key_element(): len(list(override.sweep_string_iterator()))
        for override in parser.parse_overrides([*swept, *typed])
        if override.is_sweep_override()
    }
    return hydra.job.num, math.prod(counts.values()), elsewhere


def chosen_of_plugins() -> dict[str, str]:
    """The choices of the run at hand that a plug-in provides."""
    from hydra.core.hydra_config import HydraConfig

    from ctta import plugins

    return plugins.owners(HydraConfig.get().runtime.choices)


def of_plugins(owned: Mapping[str, str]) -> str:
    """What belongs to which plug-in, to stand after the reason of a failure."""
    listed = ", ".join(f"{choice} of the plug-in '{plugin}'" for choice, plugin in owned.items())
    return f" ({listed})" if listed else ""


def composition_error(error: Exception) -> str:
    """What Hydra says of an override; of an unknown key, the known ones at its place."""
    cause = error.__cause__
    key, place = (getattr(cause, name, None) for name in ("full_key", "parent_node"))
    if key and place is not None:
        known = sorted(name for name in map(str, place) if not name.startswith("_"))
        return f"{key}: unknown key; expected one of {', '.join(known) or 'none'}"
    text = "\n".join(str(part) for part in (error, cause) if part is not None)
    missing = re.search(r"Could not find 'hydra/(?:launcher|sweeper)/(\w+)'", text)
    if missing:
        return f'{missing[1]} is not installed; type pip install "ctta[{missing[1]}]"'
    return text.partition("\nConfig search path:")[0]


def execute(composed: DictConfig) -> Path | None:
    """Run one composed configuration; the path of its record, None after a dry run."""
    from ctta.places import runs_dir
    from ctta.results.store import RunStore

    chosen = experiment(composed)
    if chosen.config["dry_run"]:
        Console().print(chosen.plan(), highlight=False)
        return None
    store = RunStore(runs_dir(chosen.config["paths"]["runs"]).resolve())
    with StopSignals() as stop:
        result = chosen.run(store, stop)
    names = chosen.config["names"]
    return store.folder(names["method"], names["dataset"], result.identity) / "result.json"


def experiment(composed: DictConfig) -> Experiment:
    """One composed configuration, checked.

    Raises:
        ValueError: a value that is missing or does not fit.
    """
    from ctta.results.run import Experiment

    return Experiment(resolved(composed))


def resolved(composed: DictConfig) -> dict[str, Any]:
    """One composed configuration as plain values, with ``names``: what each group's choice is.

    Raises:
        ValueError: a value that is missing.
    """
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf
    from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

    chosen = HydraConfig.get().runtime.choices
    try:
        for_inner = tuned_for_inner(OmegaConf.to_container(composed, resolve=True), chosen)
        if for_inner:
            log.warning("for what is tuned for %s, type %s", chosen[INNER], " ".join(for_inner))
        config: Any = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        key = error.full_key
        raise ValueError(f"{key}: expected a value, got none; type {key}=...") from None
    except OmegaConfBaseException as error:
        raise ValueError(one_line(error)) from None
    config["names"] = {g: chosen[g] for g in ("dataset", "stream", "model", "method")}
    return cast(dict[str, Any], config)


def tuned_for_inner(config: Any, chosen: Mapping[str, str]) -> list[str]:
    """Overrides that give a method inside another one what is tuned for it and is not in use.

    Hydra finds tuned values by the outer method's name.
    """
    from ctta import plugins

    if INNER not in chosen:
        return []
    tuned: dict[str, dict[str, Any]] = {"method": {}, "optimizer": {}}
    for_method = f"{chosen['dataset']}/{chosen[INNER]}"
    for path in (f"tuned/{for_method}.yaml", f"tuned_model/{for_method}/{chosen['model']}.yaml"):
        for folder in plugins.all_folders().values():
            if (folder / path).is_file():
                found = yaml.safe_load((folder / path).read_text(encoding="utf-8"))
                for node, values in tuned.items():
                    values |= found.get(node, {})
    inner, optimizer = config["method"]["method"], config["optimizer"]
    wanted = {f"method.method.{k}": (v, inner.get(k)) for k, v in tuned["method"].items()}
    if tuned["optimizer"] or "optimizer" not in inner:
        values = {**dict.fromkeys(optimizer), **tuned["optimizer"]}
        wanted |= {f"optimizer.{k}": (v, optimizer.get(k)) for k, v in values.items()}
    return [f"{key}={as_typed(v)}" for key, (v, used) in wanted.items() if v != used]


def as_typed(value: object) -> str:
    """A value as it stands in an override."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def report(results: Sequence[Result]) -> None:
    """Print the table of several runs, draw the two pictures, keep what is chosen from them."""
    from ctta.places import runs_dir
    from ctta.results.summary import summarise_runs
    from ctta.results.tuning import keep_chosen

    root = runs_dir(results[0].config["paths"]["runs"])
    summarise_runs(results, root, Console())
    if results[0].config.get("choose"):  # older records do not have it
        for name, path in keep_chosen(results, root / "tuned").items():
            log.info(
                "chosen: %s; run it with --config-dir %s experiment=%s", path, root / "tuned", name
            )


# --- completion --------------------------------------------------------------------------------


def complete(arguments: Sequence[str]) -> int:
    """`ctta -sc install=bash`, and the words that the script it prints asks for.

    Hydra knows programs without commands: the command is taken out of the line that it completes.
    """
    line = os.environ.get("COMP_LINE")
    if line is not None:
        command, space, rest = line.partition(" ")[2].lstrip().partition(" ")
        if not space:
            sys.stdout.write(" ".join(COMMANDS) + "\n")
        if command not in ("run", "prepare", "check") or not space:
            return 0  # the shell completes names of files
        os.environ["COMP_LINE"] = f"ctta {rest}"
    log.addHandler(logging.NullHandler())  # what plug-ins lack is not said at every key
    return for_each("ctta", arguments, lambda _: None)[0]
