"""Keys that are made up, for every test of an adapter."""

import pytest
from support import flow_driver


@pytest.fixture(autouse=True)
def _made_up_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in flow_driver.modules():
        for name, value in flow_driver.example(module)[1].environment.items():
            monkeypatch.setenv(name, value)
