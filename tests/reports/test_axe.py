"""The pages under axe-core, the checker of accessibility: not one violation, on any screen, in any state."""

import numpy as np
import pytest
from reports.test_comparison_page import compared  # noqa: F401 - a fixture
from support.report_browser import opened, until, violations
from support.report_material import make_run

from blackbox_conformal.pages.report.comparison_page import write_comparison
from blackbox_conformal.pages.report.html import write_report
from blackbox_conformal.pages.report.preview import make_preview
from blackbox_conformal.pages.report.report_store import ReportStore

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def full_report(tmp_path_factory):
    """A report with all its parts, squares that show errors among them."""
    run = make_run(tmp_path_factory.mktemp("axe") / "run", hostile=False)
    errors = np.full((200, 200), 0.001, np.float32)
    errors[60, 60], errors[60, 150], errors[150, 60] = 0.05, 0.1, 0.2
    picture = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    kept = make_preview("audit", "third", "third", picture, errors, np.array([0.5]), truth=picture, errors=errors)
    ReportStore(run.folder, run.calibration).keep(kept)
    return write_report(run.folder, run.calibration, None, run.results, run.folder / "report.html", alpha=0.1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_report_has_no_violation(chromium, full_report, width, scheme):
    with opened(chromium, full_report, width=width, color_scheme=scheme, bypass_csp=True) as page:
        until(page, "() => document.getElementById('viewer').dataset.ready === 'yes'")
        assert page.locator(".examples figure").count() >= 3
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert violations(page) == []
        for details in page.locator("details").all():
            details.evaluate("one => { one.open = true; }")
        page.locator("#marks-kind").select_option("score")
        page.locator("#blink").click()
        page.locator("#beside").click()
        assert violations(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_comparison_has_no_violation(chromium, compared, tmp_path, width, scheme):  # noqa: F811
    comparison, pictures = compared
    path = write_comparison(comparison, tmp_path / "comparison.html", pictures)
    with opened(chromium, path, width=width, color_scheme=scheme, bypass_csp=True) as page:
        assert page.locator(".masked").count() == 11
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert violations(page) == []
        masked = page.locator(".masked").first
        assert masked.locator(".veil").is_visible()
        masked.focus()
        assert masked.locator(".veil").is_hidden(), "whoever has no pointer sees the picture without its mask, too"


def test_squares_of_errors_are_printed_and_shown_without_scripts(chromium, full_report):
    with opened(chromium, full_report, java_script_enabled=False) as page:
        for picture in page.locator(".examples img").all():
            picture.scroll_into_view_if_needed()
            box = picture.bounding_box()
            assert box["width"] >= 96, "never smaller than its pixels"
            assert box["height"] == pytest.approx(box["width"], abs=1)
        assert b"/Width 96" in page.pdf()
