"""The page of all settings, from the code:

python .ci/site/options_page.py > blackbox_conformal/docs/options.md
"""

import re
from collections.abc import Iterator

import click

from blackbox_conformal.cli.commands import every_command
from blackbox_conformal.cli.option_sources import Described
from blackbox_conformal.cli.options import Command
from blackbox_conformal.study.settings_table import GROUPS

HEAD = """# Settings

Written by `python .ci/site/options_page.py`; change the descriptions in `study/settings_table.py`.

An option is also a key of [settings files](security.md#settings-files) (`max-cost = 5`), a variable of the environment
(`BLACKBOX_CONFORMAL_MAX_COST`) and a keyword of the Python function (`max_cost=5`), but for commands that are marked *.
`blackbox-conformal COMMAND --help` shows the few options of the other commands, such as `verify` and `sign`.
"""


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command whose options are described, by its words."""
    return ((words, part) for words, part in every_command().items() if isinstance(part, Command))


def page() -> str:
    """The page: the options of each group, each with the commands that take it."""
    taken: dict[str, dict[tuple[str, str], list[str]]] = {group: {} for group in GROUPS}
    for name, command in commands():
        context = click.Context(command)
        for option in command.params:
            record = option.get_help_record(context)
            if isinstance(option, Described) and record is not None:
                row = f"`{record[0].split(', ')[-1]}`", re.sub(r" *\[(required|repeatable)\]", "", record[1])
                taken[option.group].setdefault(row, []).append(f"`{name}`{'*' if option.no_keyword else ''}")
    text = HEAD
    for group, rows in taken.items():
        text += f"\n## {group}\n\n| option | what it is | commands |\n| --- | --- | --- |\n"
        for (written, said), names in rows.items():
            text += f"| {cell(written)} | {cell(said)} | {', '.join(names)} |\n"
    return text


def cell(text: str) -> str:
    """A text as it stands in a table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    print(page(), end="")
