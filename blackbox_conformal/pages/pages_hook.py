"""Gives pages to the core, as `catalog.hook("pages")`, each imported when it is used."""

from importlib import import_module
from typing import Any

_HOMES = {
    "report_material": "report.report_store:ReportStore",
    "last_audit": "report.report_store:last_audit",
    "compared_pictures": "report.comparison_page:ComparisonPictures",
    "write_comparison": "report.comparison_page:write_comparison",
    "refuse_foreign_comparison": "report.comparison_page:refuse_foreign",
    "write_report": "report.html:write_report",
    "write_blocks": "report.html:write_blocks",
    "about_of": "report.html:about_of",
    "opening_level": "report.slider_levels:opening_level",
    "write_watch_page": "report.watch_page:write_watch_page",
    "refuse_foreign_watch": "report.watch_page:refuse_foreign",
    "viewer_beside_gateway": "viewer.view_page:ViewBesideGateway",
}


# Commands start quickly, as pages and their libraries are loaded only when used.
def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    return getattr(import_module(f"blackbox_conformal.pages.{module}"), attribute)
