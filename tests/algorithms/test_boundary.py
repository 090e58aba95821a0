"""The rest of the package knows no algorithm: it uses AlgorithmSpec and the protocols alone."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import dreamer_exp
from dreamer_exp.config.plugins import find_specs

PACKAGE = Path(dreamer_exp.__file__).parent
OWN = ("dreamerv3", "dreamerv3_rllib", "ppo", "sac")
FOLDERS = tuple(f"dreamer_exp.algorithms.{name}." for name in OWN)
MODULES = [path for path in sorted(PACKAGE.rglob("*.py")) if path.relative_to(PACKAGE).parts[0] != "algorithms"]
SHARED = [PACKAGE / "algorithms", PACKAGE / "algorithms" / "rllib"]  # folders without an algorithm


def found(path: Path) -> Iterator[str]:
    """Yield what a module knows of an algorithm, with its place."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if fault := fault_of(node):
            yield f"{path.relative_to(PACKAGE)}:{node.lineno}: {fault}"


def fault_of(node: ast.AST) -> str | None:
    match node:
        case ast.Import() | ast.ImportFrom() if any(f"{name}.".startswith(FOLDERS) for name in imported(node)):
            return "imports an algorithm"
        case ast.Compare() if any(names_algorithm(part) for part in (node.left, *node.comparators)):
            return "compares the name of an algorithm"
        case ast.MatchValue(value=value) if names_algorithm(value):
            return "matches the name of an algorithm"
        case ast.Call(func=ast.Name(id="getattr" | "hasattr"), args=[options, *_]) if is_options(options):
            return "asks whether an algorithm has an option"
        case ast.Call(func=ast.Name(id="isinstance"), args=[ast.Attribute(attr="algo"), *_]):
            return "asks for the class of an algorithm's options"
        case _:
            return None


def imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    """Return the modules that a line imports, or may import."""
    names = [alias.name for alias in node.names]
    return names if isinstance(node, ast.Import) else [f"{node.module}.{name}" for name in names]


def names_algorithm(node: ast.expr) -> bool:
    """Return whether the name of an algorithm is a value of the expression, alone or in a collection."""
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return any(map(names_algorithm, node.elts))
    return isinstance(node, ast.Constant) and node.value in OWN


def is_options(node: ast.expr) -> bool:
    """Return whether the expression is `algo` or `<experiment>.algo`."""
    return "algo" in (getattr(node, "id", None), getattr(node, "attr", None))


def test_these_are_the_algorithms_of_the_package() -> None:
    folders = {path.parent.name for path in (PACKAGE / "algorithms").glob("*/spec.py")}
    assert folders == set(OWN) <= set(find_specs("algorithms"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_outside_algorithms_know_none(path: Path) -> None:
    assert list(found(path)) == []


@pytest.mark.parametrize("folder", SHARED, ids=lambda path: path.name)
def test_modules_that_algorithms_share_know_none(folder: Path) -> None:
    assert [fault for path in sorted(folder.glob("*.py")) for fault in found(path)] == []


@pytest.mark.parametrize(
    "line",
    [
        'if experiment.algo.name == "dreamerv3": ...',
        'if name in ("dreamerv3_rllib", "ppo", "sac"): ...',
        'device = getattr(experiment.algo, "replay_device", "cpu")',
        'fast = hasattr(algo, "network")',
        "fast = isinstance(experiment.algo, DreamerV3Algo)",
        "from dreamer_exp.algorithms.dreamerv3.sizes import SIZES",
        "from dreamer_exp.algorithms import dreamerv3_rllib",
        "import dreamer_exp.algorithms.dreamerv3.sizes",
    ],
)
def test_the_search_finds_each_kind(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.PACKAGE", tmp_path)
    (tmp_path / "module.py").write_text(line)
    assert len(list(found(tmp_path / "module.py"))) == 1
