"""`annotate`: what becomes of people's marks of where delivered pictures differ in meaning."""

from typing import TYPE_CHECKING

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.commands import Group
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.errors import UsageError
from blackbox_conformal.support.text import counted

if TYPE_CHECKING:
    from blackbox_conformal.annotations.combine import Rule


_folder = click.argument("folder", type=shared.EXISTING_FOLDER)
_annotators = shared.option(
    "--annotator", "annotators", multiple=True, metavar="NAME", help="Whose marks; repeatable.  [default: all]"
)
_format = shared.option("--format", "form", required=True, metavar="NAME", help="coco, png, or another package's.")
_truth = shared.option("--truth", type=shared.FILE, required=True, help="The photograph.")
_delivered = shared.option(
    "--delivered", type=shared.FILE, required=True, help="The vendor's picture that was annotated."
)
_force = shared.option("--force", is_flag=True, help="Replace what is there.")

command = Group(
    "annotate",
    help="Import, compare, combine and export marks of where pictures differ in meaning.",
    epilog="Mark pictures with any tool that exports COCO or PNG masks; then import its files.",
)


@command.command("agreement")
@_folder
@_annotators
@shared.output
def agreement(screen: Screen, folder: str, annotators: tuple[str, ...]) -> None:
    """Say how far people agree on the pictures that they marked in FOLDER."""
    from blackbox_conformal.annotations.combine import agreement as measured

    found = measured(folder, annotators or None)
    screen.show(found.blocks())
    screen.data(found.document())


@command.command("combine")
@_folder
@_annotators
@shared.option(
    "--rule",
    type=click.Choice(["mean", "max"]),
    default="mean",
    help="The grade of a pixel: the mean of all people's, or the largest.",
)
@_force
@shared.output
def combine(screen: Screen, folder: str, annotators: tuple[str, ...], rule: "Rule", force: bool) -> None:
    """Make of people's marks in FOLDER the one annotation of each picture that `--metric semantic` reads.

    Every picture needs the marks of the same people.
    """
    from blackbox_conformal.annotations.combine import agreement as measured
    from blackbox_conformal.annotations.combine import combine as combined

    made = combined(folder, rule, annotators or None, force=force)
    found = measured(folder, annotators or None)
    screen.show(found.blocks())
    screen.data({**found.document(), "rule": rule, "combined": [str(path.resolve()) for path in made]})
    screen.say(
        f"\n{counted(len(made), 'picture')} in {folder}: the {rule} of {counted(len(found.people), 'annotator')}."
    )
    screen.say(f"Next: `calibrate` as before with --metric semantic:annotations={folder} and another --out")


@command.command("import")
@click.argument("source", type=click.Path(exists=True))
@_format
@_truth
@_delivered
@shared.option("--folder", type=shared.FOLDER, required=True, help="Where annotations are stored.")
@shared.option("--annotator", default="not stated", help="Who marked it.")
@shared.option("--date", help="When, YYYY-MM-DD.  [default: today]")
@shared.option(
    "--grade", "grades", multiple=True, metavar="LABEL=GRADE", help="Grade of a label, in [0, 1]; repeatable."
)
@shared.option("--image", help="What the source calls the picture, if not like either file.")
@_force
@shared.output
def import_(
    screen: Screen,
    source: str,
    form: str,
    truth: str,
    delivered: str,
    folder: str,
    annotator: str,
    date: str | None,
    grades: tuple[str, ...],
    image: str | None,
    force: bool,
) -> None:
    """Store the annotation of one delivered picture from another tool's file SOURCE.

    For png SOURCE can be a folder of such files.
    """
    from blackbox_conformal.annotations.convert import import_annotations

    by_label: dict[str, float] = {}
    for typed in grades:
        label, equals, grade = typed.rpartition("=")
        try:
            by_label[label] = float(grade)
        except ValueError:
            equals = ""
        if not equals:
            raise UsageError(f"expected --grade LABEL=GRADE; got {typed!r}")
    path = import_annotations(
        source,
        form,
        truth,
        delivered,
        folder,
        annotator=annotator,
        date=date,
        grades=by_label or None,
        image=image,
        force=force,
    )
    screen.say(str(path))
    screen.data({"annotation": str(path.resolve())})


@command.command("export")
@_folder
@_format
@_truth
@_delivered
@shared.option("--out", type=shared.NEW_FOLDER, required=True, help="Folder for the file.")
@_force
@shared.output
def export(screen: Screen, folder: str, form: str, truth: str, delivered: str, out: str, force: bool) -> None:
    """Write the annotation of one delivered picture in FOLDER as another tool's file, exact to the pixel.

    Each level becomes a mask with the label level-1 to level-255, which `import` reads back as it was.
    """
    from blackbox_conformal.annotations.convert import export_annotations

    paths = export_annotations([(truth, delivered)], form, folder, out, force=force)
    for path in paths:
        screen.say(str(path))
    screen.data({"files": [str(path.resolve()) for path in paths]})
