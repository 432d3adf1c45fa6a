"""From the words of a command to configurations, by Hydra; with `plugins` all that sees it."""

from __future__ import annotations

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
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import yaml

from ctta.console import one_line, say_on_standard_error

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from ctta.launchers.slurm import SlurmRun
    from ctta.results.run import Experiment

log = logging.getLogger("ctta")
INNER = "method@method.method"


class CompositionError(ValueError):
    """Words that describe no configuration; the message may have several lines."""


def for_each(
    program: str, arguments: Sequence[str], action: Callable[[DictConfig], Path | None]
) -> tuple[bool, list[Path]]:
    """Call ``action`` for every configuration that the arguments describe; say what failed.

    Returns:
        Whether all of it went well, and the paths that ``action`` returned.

    Raises:
        CompositionError: the arguments describe none.
    """
    import hydra
    from hydra.errors import CompactHydraException
    from omegaconf import OmegaConf

    from ctta import plugins
    from ctta.assets import asset_dir
    from ctta.launchers import devices
    from ctta.online.stopping import RunStoppedError
    from ctta.places import runs_dir
    from ctta.results.sweep import SWEEPS, Outcome, Place, Sweep

    plugins.extend_search_path()
    OmegaConf.register_new_resolver("ctta_groups", groups_for_help, replace=True)
    OmegaConf.register_new_resolver("ctta_at_once", devices.at_once, replace=True)
    OmegaConf.register_new_resolver("ctta_gpu_share", devices.gpu_share, replace=True)
    chosen = [a.partition("=")[2] for a in arguments if a.startswith("paths.runs=")]
    runs = runs_dir(chosen[-1] if chosen else None).resolve()
    given = Place.given()
    sweep = Sweep(Path(given.folder) if given else runs / SWEEPS / uuid4().hex)
    for_slurm: list[SlurmRun] = []

    def task(composed: DictConfig) -> float:
        # An exception must not leave this function: Hydra would end the whole sweep, or print a
        # traceback. Ctrl-C does leave it. A launcher may call it in another process.
        say_on_standard_error()
        number, total, elsewhere = place_in_sweep(arguments)
        launcher = composed.get("launcher") or {}
        if given:
            number, total, elsewhere = given.number, given.total, True
        elif launcher.get("through") == "slurm":
            for_slurm.append(run_for_slurm(program, number, total, composed))
            return math.inf
        elif launcher.get("through") == "joblib" and launcher.get("runs_per_gpu"):
            devices.take_gpu(sweep.folder / "gpus")
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
        except RunStoppedError as stopped:  # the reason, if nobody starts it again
            sweep.keep(replace(outcome, reason=str(stopped)), for_others=elsewhere)
            raise
        sweep.keep(done, for_others=elsewhere)
        if total != 1:
            log.info(sweep.progress())
        return error_of(done.result)

    sys.argv = [program, *arguments]
    os.environ["CTTA_SWEEP_DIR"] = str(sweep.folder)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here, where there is more to say
    try:
        hydra.main(version_base="1.3", config_path=str(asset_dir("configs")), config_name="config")(
            task
        )()
        if for_slurm:
            from ctta.launchers.slurm import through_slurm

            through_slurm(for_slurm, sweep)
    except CompactHydraException as error:
        raise CompositionError(composition_error(error)) from None
    except yaml.YAMLError as error:
        plugin = of_plugins(plugins.mentioned(str(error)))
        raise CompositionError(one_line(error) + plugin) from None
    except Exception as error:
        if not sweep.outcomes():
            raise
        log.error("the launcher stopped: %s: %s", type(error).__name__, one_line(error))
        log.error("Every finished run is kept. Type the same command to go on.")
    finally:
        outcomes, failures = sweep.outcomes(), sweep.failures()
        if not given:
            sweep.remove()
    if given:  # who started this process says what failed
        own = sweep.here.get(given.number)
        return own is not None and own.status == "finished", []
    if failures:
        n = max(len(outcomes), outcomes[0].total or 0)
        sys.stderr.write(f"ctta: {len(failures)} of {n} runs failed\n")
        for reason in failures:
            sys.stderr.write(f"  {reason}\n")
    paths = [Path(outcome.result) for outcome in outcomes if outcome.result]
    return not failures, paths


def groups_for_help() -> str:
    """The groups and their choices; Hydra's own list has a line for each of a hundred subgroups."""
    from ctta import plugins

    return "\n".join(f"{group}: {names}" for group, names in plugins.overview().items())


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


def run_for_slurm(program: str, number: int, total: int | None, composed: DictConfig) -> SlurmRun:
    """The run at hand, to be executed by the command that it would be alone.

    Raises:
        ValueError: the sweeper needs its result before the next; the command has no such form.
    """
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    from ctta.launchers.slurm import SlurmRun

    hydra = HydraConfig.get()
    if total is None:
        sweeper = hydra.runtime.choices["hydra/sweeper"]
        raise ValueError(
            f"launcher=slurm: expected hydra/sweeper=basic, got {sweeper}, which waits for each "
            "result; type the command with launcher=joblib inside a job"
        )
    name = program.partition(" ")[2]
    if name not in ("run", "prepare"):
        raise ValueError(f"launcher=slurm: expected ctta run or ctta prepare, got {program}")
    folders = [s.path for s in hydra.runtime.config_sources if s.provider == "command-line"]
    words = [word for path in folders for word in ("--config-dir", path.removeprefix("file://"))]
    words += ["hydra.mode=RUN", *hydra.overrides.task]
    return SlurmRun(
        number=number,
        total=total,
        command=[sys.executable, "-m", "ctta", name, *words],
        settings=cast(dict[str, Any], OmegaConf.to_container(composed.launcher, resolve=True)),
        dry_run=composed.dry_run,
    )


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
    unknown = unknown_key(cause)
    if unknown:
        return unknown
    text = "\n".join(str(part) for part in (error, cause) if part is not None)
    missing = re.search(r"Could not find 'hydra/(?:launcher|sweeper)/(\w+)'", text)
    if missing:
        return f'{missing[1]} is not installed; type pip install "ctta[{missing[1]}]"'
    return text.partition("\nConfig search path:")[0]


def unknown_key(error: BaseException | None) -> str | None:
    """What to say of a key that is not there, with those that are; None: it is another error."""
    key, place = (getattr(error, name, None) for name in ("full_key", "parent_node"))
    if not key or place is None:
        return None
    known = sorted(name for name in map(str, place) if not name.startswith("_"))
    return f"{key}: unknown key; expected one of {', '.join(known) or 'none'}"


def experiment(composed: DictConfig) -> Experiment:
    """One composed configuration, checked.

    Raises:
        ValueError: a value that is missing or does not fit.
    """
    from ctta.results.run import Experiment

    return Experiment(resolved(composed))


def plain(composed: DictConfig, chosen: Mapping[str, str]) -> dict[str, Any]:
    """A configuration as plain values, with ``names``: what each group's choice is.

    Raises:
        ValueError: a value that is missing.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import MissingMandatoryValue

    try:
        config: Any = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        key = error.full_key
        raise ValueError(f"{key}: expected a value, got none; type {key}=...") from None
    config.pop("launcher", None)  # how a run was started is no part of its record
    config["names"] = {g: chosen[g] for g in ("dataset", "stream", "model", "method")}
    return cast(dict[str, Any], config)


def resolved(composed: DictConfig, choices: Mapping[str, str] | None = None) -> dict[str, Any]:
    """One composed configuration as plain values, with ``names``: what each group's choice is.

    Args:
        composed: the configuration.
        choices: group -> its choice; None: those of the run at hand.

    Raises:
        ValueError: a value that is missing.
    """
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    chosen = HydraConfig.get().runtime.choices if choices is None else choices
    try:
        for_inner = tuned_for_inner(OmegaConf.to_container(composed, resolve=True), chosen)
        if for_inner:
            log.warning("for what is tuned for %s, type %s", chosen[INNER], " ".join(for_inner))
        return plain(composed, chosen)
    except OmegaConfBaseException as error:
        raise ValueError(one_line(error)) from None


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
