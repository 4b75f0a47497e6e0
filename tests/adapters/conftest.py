"""Keys that are made up, for every test of an adapter."""

import pytest
from support import flow_driver


@pytest.fixture(autouse=True)
def _made_up_keys(request, monkeypatch):
    """Those of every example; of a variable that two adapters read, the one that the test is about has its own.

    That is the test's parameter `module`, else the one that its file is named after.
    """
    parameters = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    about = parameters.get("module", request.path.stem.removeprefix("test_"))
    modules = flow_driver.modules()
    for module in sorted(modules, key=lambda each: each == about):
        for name, value in flow_driver.example(module)[1].environment.items():
            monkeypatch.setenv(name, value)
