"""A mask is the same to the bit on every processor: libraries that choose their code by it are made to choose another.

What newer processors have can only be taken away, so each setting runs everywhere.
"""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "support" / "fingerprints.py"
X86 = platform.machine().lower() in ("x86_64", "amd64")

NO_VECTORS = "AVX2 FMA3 AVX512F AVX512_SKX AVX512_ICL AVX512_SPR X86_V3 X86_V4"
OTHERS = {
    "another library of matrices": {"OPENBLAS_CORETYPE": "Prescott" if X86 else "ARMV8"},
    "another compiler's target": {"NUMBA_CPU_NAME": "generic"},
    "narrow vectors": {"NPY_DISABLE_CPU_FEATURES": NO_VECTORS if X86 else "", "OPENBLAS_CORETYPE": "Nehalem"},
}

PINNED = {
    "reference": "9cb777d68234b69c",
    "features": "fa35fc6146567bf1",
    "score predicted-invention {}": "cf4eb6cf39cb2964",
    "score learned {}": "7becd656d488d3d5",
    "score smoothed-variance {}": "64e824efc1f3d68f",
    "embedded upscale/realesr-general-x4v3": "2cc569a10332666b",
}
"""As computed on an AMD EPYC (Zen 4): other machines must find them, too."""


def digests(**settings: str) -> dict[str, str]:
    without = {name: value for name, value in os.environ.items() if name not in ("OPENBLAS_CORETYPE", "NUMBA_CPU_NAME")}
    result = subprocess.run(
        [sys.executable, "-W", "ignore", str(SCRIPT)],
        env=without | {"OMP_NUM_THREADS": "1"} | settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr
    found: dict[str, str] = json.loads(result.stdout)
    return found


@pytest.fixture(scope="module")
def own() -> dict[str, str]:
    return digests()


@pytest.mark.parametrize(
    "settings",
    # Another compiler's target compiles every kernel again.
    [pytest.param(each, id=name, marks=[pytest.mark.slow] * ("target" in name)) for name, each in OTHERS.items()],
)
def test_every_result_is_the_same_to_the_bit(own, settings):
    other = digests(**settings)
    assert {name for name in own if own[name] != other[name]} == set()
    assert len(own) > 100


def test_results_are_those_of_other_machines(own):
    assert {name: own[name] for name in PINNED} == PINNED
