"""The page of every key, by `python -m dreamer_exp.config.key_reference docs/reference/keys.md`: schema and conf/."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import Field, fields, is_dataclass
from pathlib import Path
from typing import Any

from hydra import compose as compose_config
from hydra import initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from dreamer_exp.config.compose import VARYING, config_dir, config_dirs, prepare, variants
from dreamer_exp.config.composition_errors import PRESET, takes
from dreamer_exp.config.help_text import options
from dreamer_exp.config.schema import ExperimentConfig

BEGIN, END = "<!-- keys: begin -->", "<!-- keys: end -->"
HEAD = ("| key | default | allowed | meaning |", "| --- | --- | --- | --- |")


def groups_and_keys() -> str:
    """Return the complete table in Markdown: each group with its options, and each of its keys."""
    defaults = _composed()
    sections = [f"## `{PRESET}`\n\n{_options(PRESET)}. Presets: each a small diff over the groups below."]
    for declared in fields(ExperimentConfig):
        name, of = declared.name, declared.type
        if name in VARYING:
            sections.append(f"## `{name}`\n\n{_options(name)}")
            for option, node in variants(name).items():
                sections.append(_table(f"### `{name}={option}`", f"{name}.", node, _composed(f"{name}={option}")))
        elif is_dataclass(of):
            sections.append(_table(f"## `{name}`", f"{name}.", of, defaults, _options(name)))
    sections.append(_table("## At the top", "", ExperimentConfig, defaults))
    return "\n\n".join(sections) + "\n"


def _composed(*words: str) -> DictConfig:
    prepare()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        config: DictConfig = compose_config("config", list(words))
    return config


def _options(group: str) -> str:
    found = options(group, config_dirs())
    return ", ".join(f"{name[:-1]} (default)" if name.endswith("*") else name for name in found)


def _table(heading: str, prefix: str, node: Any, config: DictConfig, found: str = "") -> str:
    rows = [
        f"| `{path}` | {_shown(OmegaConf.select(config, path))} | {_allowed(declared)} | {declared.metadata['help']} |"
        for path, declared in _leaves(prefix, node, top_level_only=not prefix)
    ]
    return "\n".join([heading, "", *([found, ""] if found else []), *HEAD, *rows])


def _leaves(prefix: str, node: Any, top_level_only: bool = False) -> Iterator[tuple[str, Field[Any]]]:
    """Yield every key below a dataclass; with `top_level_only`, only its direct keys."""
    for declared in fields(node):
        if not is_dataclass(declared.type):
            yield f"{prefix}{declared.name}", declared
        elif not top_level_only:
            yield from _leaves(f"{prefix}{declared.name}.", declared.type)


def _shown(value: Any) -> str:
    """Return a default in YAML notation."""
    if isinstance(value, DictConfig):
        value = OmegaConf.to_container(value)
    if isinstance(value, Mapping):
        if len(value) > 3 and len(set(value.values())) == 1:
            return f"`{_plain(next(iter(value.values())))}` each"
        return f"`{{{', '.join(f'{name}: {_plain(one)}' for name, one in value.items())}}}`"
    return f"`{_plain(value)}`"


def _plain(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, int):
        return f"{value:_}" if value >= 10_000 else str(value)
    return str(OmegaConf.to_container(value) if OmegaConf.is_list(value) else value).replace("'", "")


def _allowed(declared: Field[Any]) -> str:
    allowed = declared.metadata
    if allowed["choices"] is not None:
        words = " ".join(f"`{word}`" for word in allowed["choices"])
        return f"list of {words}" if declared.type == list[str] else words
    low, above, high = (_bound(allowed[side]) for side in ("low", "above", "high"))
    kind, *auto = takes(declared).removeprefix("a ").split(" or ")
    bounds = [
        *([f"{low} to {high}"] if low and high else [f"{low} or more"] if low else []),
        *([f"more than {above}"] if above else []),
        *([f"at most {high}"] if high and not low else []),
    ]
    text = f"{kind}, {', '.join(bounds)}" if bounds else " or ".join([kind, *auto])
    return f"{text}; or {auto[0]}" if bounds and auto else text


def _bound(value: float | None) -> str:
    return "" if value is None else f"{value:,}"


def update_page(page: str) -> str:
    """Return the text of the page with the current table between its two markers.

    Raises:
        ValueError: A marker is missing, occurs twice, or the two are in the wrong order.
    """
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise ValueError(f"the table goes between one {BEGIN} and one {END}, each once and in this order")
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{groups_and_keys()}{END}{rest.partition(END)[2]}"


def main() -> None:
    """Update the table in the file named on the command line; without a file, print the table."""
    if len(sys.argv) == 1:
        print(groups_and_keys(), end="")
        return
    if len(sys.argv) != 2:
        sys.exit("usage: python -m dreamer_exp.config.key_reference [docs/reference/keys.md]")
    path = Path(sys.argv[1])
    path.write_text(update_page(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
