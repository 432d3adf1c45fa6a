"""Installed plug-ins: folders of configs that other packages add to Hydra's search path.

A plug-in declares one entry point in the group ``ctta.configs`` whose value is a package, or a
folder in one written with dots (``my_package.configs``). The folder is found without importing
anything, so a plug-in whose code is broken harms nobody until it is chosen; one whose configs
cannot be used is left out and named.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from ctta.assets import asset_dir

log = logging.getLogger("ctta")
ENTRY_POINT_GROUP = "ctta.configs"
BUILT_IN = "ctta"


@dataclass(frozen=True)
class Installed:
    """What is installed.

    Attributes:
        folders: provider -> folder of its configs: the built-in ones first, then the plug-ins'.
        left_out: plug-in -> why its configs cannot be used.
    """

    folders: dict[str, Path]
    left_out: dict[str, str]


def installed() -> Installed:
    """The built-in configs and those of every plug-in that is sound."""
    folders: dict[str, Path] = {BUILT_IN: asset_dir("configs")}
    left_out: dict[str, str] = {}
    for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.name):
        try:
            folder = config_folder(point)
            if folders.setdefault(point.name, folder) != folder:
                raise ValueError(
                    f"the name is taken by {folders[point.name]}: rename the entry point that "
                    f"gives {point.value}"
                )
        except ValueError as error:
            left_out[point.name] = str(error)
    for plugin, reason in clashes(folders).items():
        left_out[plugin] = reason
        del folders[plugin]
    return Installed(folders, left_out)


def config_folder(point: EntryPoint) -> Path:
    """Where a plug-in's configs lie; imports nothing.

    Raises:
        ValueError: the package is not installed, or has no such folder.
    """
    package, *inner = point.value.split(".")
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):  # half removed
        spec = None
    for place in (spec and spec.submodule_search_locations) or ():
        folder = Path(place, *inner)
        if folder.is_dir():
            return folder
    raise ValueError(
        f"expected configs in '{point.value}', found no such folder: install the package again "
        "or remove it"
    )


def choices(folder: Path) -> dict[str, list[str]]:
    """Return group -> names of the YAML files in it, groups as ``tuned/digits_c``."""
    found: dict[str, list[str]] = {}
    for place, inner, files in os.walk(folder):  # of many hundred files, an rglob is felt
        inner.sort()
        group = Path(place).relative_to(folder).as_posix()
        names = sorted(file.removesuffix(".yaml") for file in files if file.endswith(".yaml"))
        if names and group != ".":
            found[group] = names
    return found


def groups() -> dict[str, dict[str, Path | None]]:
    """Return group -> what is in it: a choice with its file; ``name/`` without one is a group."""
    found: dict[str, dict[str, Path | None]] = {}
    for folder in all_folders().values():
        for group, names in choices(folder).items():
            found.setdefault(group, {}).update({n: folder / group / f"{n}.yaml" for n in names})
    for group in list(found):
        while "/" in group:
            group, _, name = group.rpartition("/")
            found.setdefault(group, {})[f"{name}/"] = None
    return found


def overview() -> dict[str, str]:
    """Return each group at the top -> the names in it."""
    return {
        group: ", ".join(sorted(names))
        for group, names in sorted(groups().items())
        if "/" not in group and group != "hydra"
    }


def clashes(folders: Mapping[str, Path]) -> dict[str, str]:
    """Plug-ins that offer a name which another provider has too -> which name, and who.

    The built-in configs stay; of two plug-ins, neither does.
    """
    if len(folders) == 1:  # as in most environments: some hundred names need not be read
        return {}
    owners: dict[tuple[str, str], list[str]] = {}
    for provider, folder in folders.items():
        for group, names in choices(folder).items():
            for name in names:
                owners.setdefault((group, name), []).append(provider)
    found: dict[str, str] = {}
    for (group, name), providers in owners.items():
        if len(providers) > 1:
            listed = " and ".join(f"'{provider}'" for provider in providers)
            reason = f"{group}={name} is provided by {listed}: uninstall one or rename its file"
            for provider in providers:
                if provider != BUILT_IN:
                    found.setdefault(provider, reason)
    return found


def all_folders() -> dict[str, Path]:
    """Return provider -> folder: the built-in configs first, then the sound plug-ins'."""
    return installed().folders


def owners(chosen: Mapping[str, str | None]) -> dict[str, str]:
    """The choices that a plug-in provides, as ``group=name`` -> plug-in.

    Args:
        chosen: group -> name, as Hydra has them.
    """
    found = {}
    for provider, folder in all_folders().items():
        for key, name in chosen.items():
            group = key.partition("@")[0]
            if provider != BUILT_IN and name and (folder / group / f"{name}.yaml").is_file():
                found[f"{group}={name}"] = provider
    return found


def mentioned(text: str) -> dict[str, str]:
    """The plug-ins whose folders ``text`` mentions, as folder -> plug-in."""
    folders = {str(path): name for name, path in all_folders().items() if name != BUILT_IN}
    return {folder: name for folder, name in folders.items() if folder in text}


def warn_of_left_out() -> None:
    """Say which plug-ins are left out, and why."""
    for plugin, reason in installed().left_out.items():
        log.warning("plug-in '%s' is left out: %s", plugin, reason)


def extend_search_path() -> None:
    """Make Hydra look into the plug-ins' folders, after the built-in ones."""
    from hydra.core.config_search_path import ConfigSearchPath
    from hydra.core.plugins import Plugins
    from hydra.plugins.search_path_plugin import SearchPathPlugin

    class InstalledConfigs(SearchPathPlugin):
        def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
            for name, folder in all_folders().items():
                if name != BUILT_IN:
                    search_path.append(provider=name, path=f"file://{folder}")

    warn_of_left_out()
    known = {plugin.__name__ for plugin in Plugins.instance().discover(SearchPathPlugin)}
    if InstalledConfigs.__name__ not in known:
        Plugins.instance().register(InstalledConfigs)
