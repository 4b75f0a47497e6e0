"""What a new score, metric, dialect or option must bring along; each exception says why it needs none."""

import inspect
import re
from pathlib import Path

import click
import pytest
from naive import metrics, scores
from support.command_line import every_command

import blackbox_conformal
import blackbox_conformal as bc
from blackbox_conformal import catalog
from blackbox_conformal.cli.main import cli
from blackbox_conformal.serving.dialects.dialect import Dialect

TESTS, DOCS = Path(__file__).parent, Path(blackbox_conformal.__file__).parent / "docs"
TWINS = {"scores": scores, "metrics": metrics}
WITHOUT_TWIN = {
    "scores custom-score": "a function of the user's",
    "scores tie-broken": "orders two other scores, which have twins",
    "scores weighted": "adds two other scores, which have twins",
    "metrics custom-metric": "a function of the user's",
    "metrics in-holes": "another metric where pixels are missing",
    "metrics semantic": "reads marks of people, and calculates nothing",
}


def test_every_score_and_metric_has_a_naive_twin() -> None:
    without = {
        f"{family} {name}"
        for family, twins in TWINS.items()
        for name in catalog.names(family)
        if not hasattr(twins, name.replace("-", "_"))
    }
    assert without == set(WITHOUT_TWIN), "write the same map by plain loops, under the member's name, in tests/naive"


@pytest.mark.parametrize("name", sorted(catalog.names("serving.dialects")))
def test_every_dialect_has_a_page_tests_and_routes(name: str) -> None:
    page = (DOCS / "serving.md").read_text(encoding="utf-8")
    assert re.search(rf"^### {name}$", page, re.M | re.I), f"write a section {name} in docs/serving.md"
    assert f"`{name}`" in page, f"name `{name}` among the values of --as in docs/serving.md"
    assert (TESTS / "serving" / f"test_{name}.py").is_file(), f"write tests/serving/test_{name}.py"
    dialect = catalog.load("serving.dialects", name)
    assert isinstance(dialect, Dialect)
    assert dialect.plugin_name() == name
    routes = dialect.routes()
    assert routes
    assert len({(route.method, route.path) for route in routes}) == len(routes)
    for route in routes:
        assert route.path.startswith("/"), route
        assert route.summary.endswith("."), route
        assert route.gives, route
        assert all(100 <= status < 600 and said for status, said in route.gives.items()), route


FUNCTIONS = {
    "calibrate": ["calibrate"],
    "audit": ["audit"],
    "mask": ["mask_all"],
    "compare": ["compare"],
    "tune": ["tune", "learn_score"],
    "plan": ["plan"],
    "watch": ["watch"],
    "degrade": ["degrade"],
    "inputs": ["compare_inputs", "suggest_degradation"],
}
"""Commands, and the functions that are their faces in Python."""

OF_A_SCREEN = {
    "json",
    "quiet",
    "verbose",
    "open",
    "yes",
    "adapter",
    "p",
    "second",
    "sign_with",
    "trust",
    "out",
    "force",
}
"""What a program says otherwise: it prints nothing, has a vendor object and agrees by `ask`; methods save and sign."""

OF_A_PROGRAM = {
    *("vendor", "vendors", "photographs", "pictures", "inputs", "ask", "limits"),
    *("listener", "progress", "on_sampler", "on_picture", "on_result", "on_failure", "on_drift"),
}
"""What a person says otherwise: arguments, a question at the terminal, options for each limit, and what is shown."""

OPTIONS_ALONE = {
    "calibrate": {"canaries": "bc.watch begins a watch", "dry_run": "bc.plan"},
    "audit": {
        "calibrate_on": "bc.calibrate, then bc.audit",
        "no_stop": "stop=False",
        "splits": "a calibration and an audit on random halves, in a loop",
        "worst": "crops=N",
        **dict.fromkeys(
            ("delivery", "draws", "fit", "metric", "perturb", "preset", "scale", "score", "seed", "seeds"),
            "for --splits and --calibrate-on; a calibration fixes them",
        ),
    },
    "mask": {
        "keep_going": "on_failure",
        "scale": "a calibration fixes it, and the option may only repeat it",
        "seed": "a calibration fixes it, and the option may only repeat it",
        **dict.fromkeys(("feather", "leave_out", "product", "safe"), "of Result.save"),
    },
    "compare": {"no_baselines": "baselines=False", "vendor": "vendors"},
    "tune": {"candidate": "candidates", "learn": "bc.learn_score"},
    "plan": {"inputs": "bc.compare_inputs"},
    "watch": {
        "accept": "a decision of a person",
        "demo": "for a first look",
        "plan": "of a screen",
        "scale": "a calibration fixes it, and the option may only repeat it",
        **dict.fromkeys(("notify_apprise", "notify_command", "notify_webhook"), "a program sees the state itself"),
        **dict.fromkeys(("page", "page_only"), "of a screen"),
    },
    "inputs": {"suggest": "bc.suggest_degradation"},
}
FIRST_SEED = {"first_seed": "which seeds all pictures share; a command takes the usual ones"}
KEYWORDS_ALONE = {
    "calibrate": FIRST_SEED,
    "audit": {"crops": "--worst", "stop": "--no-stop"},
    "compare": {**FIRST_SEED, "baselines": "--no-baselines"},
    "tune": {**FIRST_SEED, "candidates": "--candidate"},
    "plan": FIRST_SEED,
}

COMMANDS = {name.strip(): command for name, command in every_command(cli, "")}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_option_is_a_keyword_and_every_keyword_an_option(name: str) -> None:
    options = {
        max(one.opts, key=len).lstrip("-").replace("-", "_")
        for one in COMMANDS[name].params
        if isinstance(one, click.Option)
    }
    keywords = {word for function in FUNCTIONS[name] for word in inspect.signature(getattr(bc, function)).parameters}
    assert options - keywords - OF_A_SCREEN == set(OPTIONS_ALONE.get(name, ())), "options that Python does not have"
    assert keywords - options - OF_A_PROGRAM == set(KEYWORDS_ALONE.get(name, ())), "keywords that no option sets"
