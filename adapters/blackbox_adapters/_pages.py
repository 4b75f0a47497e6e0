"""Write one page of documentation for each adapter, and a table of all, from the adapters' classes.

``python -m blackbox_adapters._pages FOLDER`` writes the pages; a test checks that they are current.
"""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from blackbox_conformal.study.plugins import describe
from blackbox_conformal.support import catalog
from blackbox_conformal.vendor.adapter import Rate

SEED_CLASSES = {
    "A": "takes a seed; random without one",
    "B": "takes a seed; answers from a fixed one without it, so every draw sends its own",
    "C": "varies from call to call, and no seed can be set",
    "D": "answers equal requests equally: several draws need a perturbation of the input",
    "depends": "depends on the model or parameters",
}
EVIDENCE = {
    "openapi": "written from the vendor's own OpenAPI document, and every request checked by a mock server of it",
    "real-server": "run against the vendor's own server software on loopback, which drew pictures for a calibration",
    "client": "compared with the vendor's own client, which asks a server on loopback for the same and reads alike",
    "own-software": "run against software of this package; there is no vendor to it",
    "documents": "written from documentation, SDKs and clients, and checked against nothing else",
}
GUIDES = {
    "http": "[Rehearse with a vendor that bills nothing](../your-vendor.md#rehearse-with-a-vendor-that-bills-nothing) "
    "has a whole job with this adapter, against a server that comes with the package.",
    "function": "[Models on this machine](../functions.md) has examples for this adapter.",
    "folder": "[Calibrate offline](../offline.md) has a whole job with this adapter.",
}
"""Adapter → the guide that uses it."""

HEADING = ["| parameter | type | default | what it is |", "| --- | --- | --- | --- |"]
INTRODUCTION = (
    "No adapter has been run against a paid service. Each is tested on the exchange that its vendor documents and "
    "against a server on loopback that misbehaves; *evidence* tells what else it was checked against. *Open* "
    "counts what the vendor's public documents leave open; the adapter's page names it. A price *by size* grows "
    "with the picture: `plan` tells that of your photographs. *Own failures*: whether the documents tell the "
    "vendor's own failures from refusals, so that such a draw is asked for again, and whether they promise not to "
    "bill them. A *late job* takes longer than `--job-timeout`: it is cancelled, or left to the vendor and looked "
    "for by the next run. A dash: none is known, or there are no jobs.",
    "",
    "On an adapter's page, figures that depend on parameters are those of the defaults, or of an example where "
    "one is named. A page without a row means: failures of the vendor's own are booked at the price of a draw, "
    "and its documents do not name them; inputs are made by `bicubic`, unless `--degradation` says how; results "
    "are exactly scale × input, and anything else is an error; no limits are known; there are no jobs, or late "
    "ones are left. *Resampled*: brought to scale × input, as part of the procedure. A key may also be in a file, "
    "named by its variable with `_FILE` at the end. \\*: a parameter that is not part of the procedure.",
)

USUAL = ("", "not named", "`bicubic`", "exact", "left")
"""Facts that hold for most adapters: an adapter's page omits them, and the page of all states them."""
MANY = 5  # A parameter that at least so many adapters describe alike is described once, on the page of all.


def pages() -> dict[str, str]:
    """Return the text of every page, ``index.md`` included, by file name."""
    described = {}
    for listing in catalog.listings("adapters"):
        # A cascade's abilities and costs follow from its vendors: its page is docs/cascade.md.
        if listing.target.startswith("blackbox_adapters.") and listing.name != "cascade":
            described[listing.name] = describe(listing.name)
    rows = Counter(row for about in described.values() for row in _rows(about))
    common = {row for row, pages_with_it in rows.items() if pages_with_it >= MANY}
    written = {f"{name}.md": _page(about, common) for name, about in described.items()}
    return {**written, "index.md": _index(described, [row for row in rows if row in common])}


def seed_class(about: dict[str, Any]) -> str:
    """Return the letter (A, B, C or D) in the table of seed classes, for the adapter's defaults or its example."""
    if about["seeds_by_model"]:
        return "depends"
    capabilities = about["capabilities"]
    if capabilities["seedable"]:
        return "B" if capabilities["default_seed_hazard"] else "A"
    return "D" if capabilities["deterministic"] else "C"


def _price(capabilities: dict[str, Any]) -> str:
    price = capabilities["price"]
    if price is None:
        return "unknown: give `price-usd` or `--max-calls`"
    low, high = price["low_usd"], price["high_usd"]
    if float(high) == 0:
        return "nothing is billed"
    return (f"{low} USD" if low == high else f"{low}–{high} USD") + (", by size" if price["by_size"] else "")


def _index(described: dict[str, dict[str, Any]], common: list[str]) -> str:
    lines = [
        "# Adapters",
        "",
        "Written by `python -m blackbox_adapters._pages`; change the code, not these pages.",
        "",
        *INTRODUCTION,
        "",
        "| adapter | key | seeds | price of a draw | evidence | open | draws at once | requests in a time "
        "| own failures | jobs | late jobs | size of results |",
        f"|{' --- |' * 12}",
    ]
    for name, about in described.items():
        capabilities = about["capabilities"]
        jobs = {True: "resumable", False: "answers at once", None: "–"}[about["jobs"]]
        key = f"`{about['auth_variable']}`" if about["auth_variable"] else "none"
        price = "unknown" if capabilities["price"] is None else _price(capabilities)
        cells = [
            f"[{name}]({name}.md)" + " (retired)" * bool(capabilities["retired"]),
            key,
            seed_class(about),
            price,
            about["evidence"],
            str(len(about["uncertain"])),
            str(capabilities["max_concurrency"] or "–"),
            _rates(capabilities) or "–",
            _failures(capabilities),
            jobs,
            ("cancelled" if capabilities["cancels"] else "left") if about["jobs"] else "–",
            "exact" if capabilities["output_size"] == "exact" else "resampled",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "## Seeds", ""]
    lines += [f"- **{name}**: {text}." for name, text in SEED_CLASSES.items()]
    lines += ["", "## Evidence", ""]
    lines += [f"- **{name}**: {text}." for name, text in EVIDENCE.items()]
    lines += ["", "## Parameters of many adapters", "", *HEADING, *common]
    return "\n".join(lines) + "\n"


def _page(about: dict[str, Any], common: set[str]) -> str:
    name, rows, capabilities = about["name"], _rows(about), about["capabilities"]
    elsewhere = ", ".join(f"`{parameter}`" for row, parameter in rows.items() if row in common)
    letter, retired, span = seed_class(about), capabilities["retired"], capabilities["seed_range"]
    variable, options, price = about["auth_variable"], about["key_options"], capabilities["price"]
    asked, listed = f"; sent only when asked, as with `{options}`" if options else "", ""
    if price is not None and float(price["high_usd"]) != 0:
        read = f", read on {price['read_on']}" if price["read_on"] else ""
        listed = (f"; {price['rule']}" if price["rule"] else "") + f" ({price['source']}{read})"
    sizes = {"exact": "exact", "any": "as the vendor chooses, of any scale: resampled"}
    end, seconds = "cancelled" if capabilities["cancels"] else "left", capabilities["job_timeout_s"]
    late = end if seconds is None else f"{end}; one may take {seconds:g} s"
    facts = {
        "Documentation": f"<{about['documentation']}>",
        "Evidence": f"[{about['evidence']}](index.md#evidence)",
        "Key": f"`{variable}`{asked}" if variable else "none",
        "Seeds": f"[{letter}](index.md#seeds): {SEED_CLASSES[letter]}" + (f" ({span[0]} to {span[1]})" if span else ""),
        "Price of a draw": f"{_price(capabilities)}{listed}",
        "Own failures": _failures(capabilities),
        "Inputs are made by": f"`{capabilities['degradation']}`",
        "Size of results": sizes.get(capabilities["output_size"], "as the vendor chooses: resampled"),
        "Limits": "; ".join(
            text.format(capabilities[limit]) for limit, text in LIMITS.items() if capabilities[limit] is not None
        ),
        "Requests in a time": _rates(capabilities),
        "Draws at once": str(capabilities["max_concurrency"] or ""),
        "Late jobs": "" if about["jobs"] is False else late,
    }
    assumed = " ".join(f"-p {key.replace('_', '-')}=…" for key in about["assumed"])
    shipped = "recipe" in rows.values() and name != "recipe"
    own = [row for row, parameter in rows.items() if row not in common and not (shipped and parameter == "recipe")]
    lines = [
        f"# {name}",
        "",
        "<!-- python -m blackbox_adapters._pages -->",
        "",
        about["summary"],
        "",
        *([GUIDES[name], ""] if name in GUIDES else []),
        *([f"**Retired by its vendor** ({retired}): nothing is drawn.", ""] if retired else []),
        "| | |",
        "| --- | --- |",
        *(f"| {what} | {told} |" for what, told in facts.items() if told not in USUAL),
        "",
        *([f"Figures are those of an example; `list adapters {name} {assumed}` tells yours.", ""] if assumed else []),
        "## Parameters",
        "",
        *([*HEADING, *own] if own else []),
        *([""] if own and elsewhere else []),
    ]
    if shipped:
        lines.append("And [those of every recipe](recipe.md#parameters).")
    elif elsewhere:
        lines.append(f"And [those of many adapters](index.md#parameters-of-many-adapters): {elsewhere}.")
    if about["uncertain"]:
        lines += ["", "## Left open by the vendor's documents", ""]
        lines += [f"- {point[0].upper()}{point[1:]}." for point in about["uncertain"]]
    return "\n".join(lines) + "\n"


def _rows(about: dict[str, Any]) -> dict[str, str]:
    rows = {}
    for parameter in about["parameters"]:
        value = parameter["default"]
        shown = json.dumps(value) if isinstance(value, list | dict) else value
        default = "none" if value is None else f"`{shown}`" if value != "" else "empty"
        default = "required" if parameter["required"] else default
        kind, mark = parameter["type"].replace("|", "\\|"), "" if parameter["identifies"] else " \\*"
        rows[f"| `{parameter['name']}`{mark} | {kind} | {default} | {parameter['help']} |"] = parameter["name"]
    return rows


def _failures(capabilities: dict[str, Any]) -> str:
    return ("named" if capabilities["transient_known"] else "not named") + (
        "" if capabilities["failures_billed"] else ", not billed"
    )


LIMITS = {
    "min_side": "shortest side {} px",
    "max_side": "longest side {} px",
    "max_input_pixels": "{} px in",
    "max_output_pixels": "{} px out",
    "min_output_side": "shortest side {} px out",
    "max_output_side": "longest side {} px out",
    "max_aspect": "one side at most {:g} times the other",
    "max_upload_bytes": "{} bytes sent",
}


def _rates(capabilities: dict[str, Any]) -> str:
    return ", ".join(f"`{Rate(**rate)}`" for rate in capabilities["rates"])


def main(folder: Path) -> None:
    """Write every page below `folder` and remove the pages of adapters that are gone."""
    folder.mkdir(parents=True, exist_ok=True)
    current = pages()
    for stale in {path.name for path in folder.glob("*.md")} - current.keys():
        (folder / stale).unlink()
    for name, text in current.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
