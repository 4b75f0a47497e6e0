"""The soft limit of descriptors is raised to the hard one, in a process of its own since a limit is the process's."""

import subprocess
import sys

import pytest

from blackbox_conformal.support.descriptors import MOST

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")

PROGRAM = """
import resource
from blackbox_conformal.support.descriptors import raise_descriptor_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (64, {hard}))
said = raise_descriptor_limit()
print(said, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(("hard", "expected"), [(300, 300), (64, 64), (MOST, MOST)])
def test_the_soft_limit_becomes_the_hard_one(hard: int, expected: int) -> None:
    import resource

    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < hard:
        pytest.skip("this process may not have so many")
    ran = subprocess.run([sys.executable, "-c", PROGRAM.format(hard=hard)], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == [str(expected)] * 2
