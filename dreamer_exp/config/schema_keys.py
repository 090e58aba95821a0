"""Every key of the schema with its declaration, those of each environment and algorithm included."""

from collections.abc import Iterator
from dataclasses import Field, fields, is_dataclass
from typing import Any

from dreamer_exp.config.compose import VARYING, variants
from dreamer_exp.config.schema import ExperimentConfig


def declared_keys() -> Iterator[tuple[str, Field[Any]]]:
    """Yield each key in dotted form with its field; a key that several options of a group have comes several times."""
    yield from _keys_under("", ExperimentConfig)
    for group in VARYING:
        for node in variants(group).values():
            yield from _keys_under(f"{group}.", node)


def _keys_under(prefix: str, node: type) -> Iterator[tuple[str, Field[Any]]]:
    for declared in fields(node):
        if isinstance(declared.type, type) and is_dataclass(declared.type):
            yield from _keys_under(f"{prefix}{declared.name}.", declared.type)
        else:
            yield f"{prefix}{declared.name}", declared
