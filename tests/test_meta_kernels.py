"""Every kernel module has a twin that knows nothing of it, and is compiled by the warm-up."""

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import blackbox_conformal.method.kernels as package

TWINS = Path(__file__).parent / "naive"
MODULES = sorted(module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_"))

UNCOMPILED = """
import importlib, pkgutil
import blackbox_conformal.method.kernels as package
from blackbox_conformal.method.kernels import _jit
_jit.warm_up()
for found in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
    for name, value in vars(importlib.import_module(found.name)).items():
        if isinstance(value, _jit.Kernel) and not (value.compiled or value.inner):
            print(value.__module__, name)
"""


def test_there_are_kernel_modules():
    assert {"moments", "windows", "distance", "staircase"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_kernel_module_has_a_twin_and_tests(name):
    assert (TWINS / f"{name}.py").is_file(), f"write tests/naive/{name}.py: the same results by plain loops"
    tests = TWINS.parent / "kernels" / f"test_{name}.py"
    assert tests.is_file(), f"write tests/kernels/test_{name}.py: that the kernel and its twin agree"


@pytest.mark.parametrize("twin", sorted(TWINS.glob("*.py")), ids=lambda twin: twin.stem)
def test_twin_does_not_import_the_package(twin):
    for node in ast.walk(ast.parse(twin.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        assert not any(name.split(".")[0] == "blackbox_conformal" for name in names), f"{twin.name}: {names}"


@pytest.mark.parametrize("name", MODULES)
def test_kernel_module_says_how_to_warm_up(name):
    module = importlib.import_module(f"blackbox_conformal.method.kernels.{name}")
    assert callable(getattr(module, "warm_up", None)), f"define warm_up() in kernels/{name}.py"


def test_warm_up_reaches_every_kernel():
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", UNCOMPILED], capture_output=True, text=True, check=False, timeout=240
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
