"""What readers rely on: the public surface, and the direction of the arrows between modules."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import langchain_sessions
from langchain_sessions import otel

PACKAGE = Path(langchain_sessions.__file__).parent

LAYERS = (
    (
        "_ids",
        "_langchain",
        "_messages",
        "_misuse",
        "_names",
        "_overlay",
        "_privacy",
        "_records",
        "_reports",
        "_stacks",
    ),
    ("_blocks", "_policy", "_turns"),
    ("_baggage", "_readable", "store"),
    ("_runs",),
    ("_executing", "_upstream"),
    ("_context", "_discovery", "otel"),
    ("_storing",),
    ("_handler",),
    ("_instrument",),
    ("_instrumentor",),
    ("__init__",),
)
"""A module, or package, imports from layers above its own line only."""

ALLOWED = {"view": {"view", "store", "demo"}, "demo": {"demo", "store", "__init__"}}
"""Packages beside the core. `view` reaches `demo` for the one command that runs it."""

UPWARD = {("store/_model.py", "view"), ("store/_answers.py", "view")}
"""What a notebook asks for its looks asks `view`, then and not before."""


def imports_of(path: Path) -> Iterator[str]:
    """Yield the parts of this package that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE.name:
            within = (node.module or "").partition(".")[2].split(".")[0]
            names = [alias.name for alias in node.names]
            yield from [within] if within else [n if n.startswith("_") else "__init__" for n in names]
        elif isinstance(node, ast.Import):
            yield from (a.name.partition(".")[2] for a in node.names if a.name.startswith(f"{PACKAGE.name}."))


def test_every_public_name_is_listed_documented_and_says_where_it_lives() -> None:
    """`__all__` is what is public, and tracebacks show the name that users import."""
    for module in (langchain_sessions, otel):
        members = {name: getattr(module, name) for name in dir(module) if not name.startswith("_")}
        mine = {n for n, m in members.items() if getattr(m, "__module__", None) == module.__name__}
        assert mine == set(module.__all__)
        assert all(members[name].__doc__ for name in mine)


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    """Members are imported when they are asked for; one that is not there is refused as ever."""
    with pytest.raises(AttributeError, match="no attribute 'sesion'"):
        _ = langchain_sessions.sesion


def test_arrows_point_one_way() -> None:
    """No module of the core imports from its own layer or a later one."""
    level = {name: number for number, layer in enumerate(LAYERS) for name in layer}
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")} - set(ALLOWED)
    core = {path.stem for path in PACKAGE.glob("*.py")} - {"__main__"} | packages
    assert core == set(level), "a new module needs its place in LAYERS"
    wrong = [
        f"{name} imports {other}"
        for name in core
        for path in [*(PACKAGE / name).rglob("*.py"), *PACKAGE.glob(f"{name}.py")]
        for other in imports_of(path)
        if other != name
        and level.get(other, len(LAYERS)) >= level[name]
        and (path.relative_to(PACKAGE).as_posix(), other) not in UPWARD
    ]
    assert wrong == []


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_packages_import_only_what_they_may(package: str) -> None:
    """`view` knows what a store returns, the demonstration what everybody may use."""
    used = {other for path in (PACKAGE / package).rglob("*.py") for other in imports_of(path)}
    assert used <= ALLOWED[package]


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("store", "langchain"),
        *(
            (module, library)
            for module in ("_ids", "_messages", "_turns")
            for library in ("opentelemetry", "openinference", "langchain_core", "langgraph")
        ),
    ],
)
def test_pure_parts_stay_pure(package: str, forbidden: str) -> None:
    """`store` does not know LangChain; ids and texts know neither LangChain nor OpenTelemetry."""
    path = PACKAGE / package
    files = list(path.rglob("*.py")) or [path.with_suffix(".py")]
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not [name for name in names if name.split(".")[0] == forbidden], file


def test_private_names_of_openinference_stay_in_one_module() -> None:
    """Nobody but `_upstream`, and `_overlay` for the runtime context, imports what they keep private."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or path.stem in {"_upstream", "_overlay"}:
                continue
            if (node.module or "").split(".")[0] in {"openinference", "opentelemetry"}:
                names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
                assert not [name for name in names if name.startswith("_")], path


def test_importing_the_package_loads_no_extra() -> None:
    """The base install has three dependencies; what views and demonstrates is imported when it is used."""
    code = (
        "import sys, langchain_sessions as s, langchain_sessions.otel\n"
        "s.instrument\n"
        "print(sorted({'click', 'rich', 'langgraph', 'langchain', 'openai'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
