"""Installed plug-ins: folders of configs that other packages add to Hydra's search path.

A plug-in declares one entry point in the group ``ctta.configs`` whose value is a package; the
package's folder is found without importing it, so a broken plug-in harms nobody until it is chosen.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path

from ctta.assets import asset_dir

ENTRY_POINT_GROUP = "ctta.configs"


def config_folders() -> dict[str, Path]:
    """Return plug-in name -> folder of its configs.

    Raises:
        ValueError: a declared package that is not installed or has no folder.
    """
    folders = {}
    for point in entry_points(group=ENTRY_POINT_GROUP):
        spec = importlib.util.find_spec(point.value)
        if spec is None or not spec.submodule_search_locations:
            raise ValueError(
                f"plug-in '{point.name}': expected the package '{point.value}', found none: "
                f"install it again or remove it"
            )
        folders[point.name] = Path(next(iter(spec.submodule_search_locations)))
    return folders


def choices(folder: Path) -> dict[str, list[str]]:
    """Return group -> names of the YAML files in it, groups as ``tuned/digits_c``."""
    found: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*.yaml")):
        group = path.parent.relative_to(folder).as_posix()
        if group != ".":
            found.setdefault(group, []).append(path.stem)
    return found


def refuse_shadowed(folders: Mapping[str, Path]) -> None:
    """Raise where two providers offer one name.

    Args:
        folders: provider -> folder, the built-in configs among them.

    Raises:
        ValueError: names the group, the choice and both providers.
    """
    owner: dict[tuple[str, str], str] = {}
    for provider, folder in folders.items():
        for group, names in choices(folder).items():
            for name in names:
                other = owner.setdefault((group, name), provider)
                if other != provider:
                    raise ValueError(
                        f"{group}={name} is provided by both '{other}' and '{provider}': "
                        f"uninstall one of them or rename its file"
                    )


def all_folders() -> dict[str, Path]:
    """Return provider -> folder: the built-in configs first, then the plug-ins'.

    Raises:
        ValueError: two providers offer one name.
    """
    folders = {"ctta": asset_dir("configs"), **config_folders()}
    refuse_shadowed(folders)
    return folders


def extend_search_path() -> None:
    """Make Hydra look into the plug-ins' folders, after the built-in ones."""
    from hydra.core.config_search_path import ConfigSearchPath
    from hydra.core.plugins import Plugins
    from hydra.plugins.search_path_plugin import SearchPathPlugin

    folders = {name: path for name, path in all_folders().items() if name != "ctta"}

    class InstalledConfigs(SearchPathPlugin):
        def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
            for name, folder in folders.items():
                search_path.append(provider=name, path=f"file://{folder}")

    Plugins.instance().register(InstalledConfigs)
