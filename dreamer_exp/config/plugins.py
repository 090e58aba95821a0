"""Finds the options that code provides: the environments and algorithms of this package and of installed ones."""

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules
from typing import Any

from dreamer_exp.config.errors import UserError


@cache
def find_specs(group: str) -> dict[str, Any]:
    """Return the specs of a group ("envs" or "algorithms") by name: our own first, then those of installed packages.

    A folder `dreamer_exp/<group>/<name>/` with a module `spec` provides its `SPEC`. Another package provides one by an
    entry point in the group `dreamer_exp.<group>`. No file lists them all, so that none has to be edited to add one.

    Raises:
        UserError: an entry point cannot be loaded, or has a name that is taken.
    """
    package = f"dreamer_exp.{group}"
    folders = [module.name for module in iter_modules(import_module(package).__path__) if module.ispkg]
    specs: dict[str, Any] = {}
    for folder in folders:
        try:
            spec = import_module(f"{package}.{folder}.spec").SPEC
        except ModuleNotFoundError as error:
            if error.name != f"{package}.{folder}.spec":
                raise
            continue
        specs[spec.name] = spec
    for point in entry_points(group=package):
        try:
            spec = point.load()
        except Exception as error:  # somebody else's import: any error of it is reported with its name
            raise UserError(f"entry point {package}:{point.name} ({point.value}) cannot be loaded: {error}") from error
        if spec.name in specs:
            raise UserError(f"entry point {package}:{point.name} provides {spec.name!r}, and so does another package.")
        specs[spec.name] = spec
    return specs
