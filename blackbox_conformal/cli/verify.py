"""`verify`: a certificate against the files beside it and the calibration that it names."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.errors import BlackboxConformalError, CheckFailedError, FileFormatError

if TYPE_CHECKING:
    from blackbox_conformal.calibration import Calibration
    from blackbox_conformal.certificate import Certificate


@click.command("verify")
@click.argument("certificates", nargs=-1, required=True, type=shared.FILE)
@shared.option(
    "--calibration", type=shared.FILE, help="Calibration file: check also that the certificates follow from it."
)
@shared.output
def command(screen: Screen, certificates: tuple[str, ...], calibration: str | None) -> None:
    """Check CERTIFICATES: their own digest and that of every file beside them.

    With --calibration also that statement, level, threshold and number of photographs follow from that file. A
    certificate is not signed: this finds damage and contradictions, not a forger who has the calibration.
    """
    from blackbox_conformal.calibration import Calibration
    from blackbox_conformal.text import printable

    against = Calibration.load(calibration) if calibration else None
    reasons: dict[str, str | None] = {}
    statuses: dict[str, str | None] = {}
    for name in certificates:
        reasons[name] = statuses[name] = None
        try:
            certificate = check(Path(name), against)
            statuses[name] = certificate.status
            outcome = "verified"
            if certificate.status == "outside-calibration":
                outcome += f", and it gives no guarantee: {certificate.reason}"
        except BlackboxConformalError as error:
            reasons[name] = str(error)
            outcome = f"not verified: {error}"
        screen.say(f"{printable(name)}: {outcome}")
    screen.data(
        [
            {"certificate": name, "verified": reason is None, "status": statuses[name], "reason": reason}
            for name, reason in reasons.items()
        ]
    )
    failed = [name for name, reason in reasons.items() if reason is not None]
    if failed:
        raise CheckFailedError(
            f"{len(failed)} of {len(reasons)} certificates are not verified, first {printable(failed[0])}"
        )


def check(path: Path, calibration: "Calibration | None" = None) -> "Certificate":
    """The certificate at `path`, checked, against `calibration` too where there is one.

    Raises
    ------
    BlackboxConformalError
        It is no certificate, or something does not agree.
    """
    from blackbox_conformal.certificate import Certificate
    from blackbox_conformal.pipeline.stages.certify import contradictions

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileFormatError(f"expected a certificate that can be read; {type(error).__name__}") from None
    certificate = Certificate.from_json(text)
    certificate.verify(path.parent)
    wrong = [] if calibration is None else contradictions(certificate, calibration)
    if wrong:
        raise CheckFailedError(f"it does not follow from the calibration: {'; '.join(wrong)}")
    return certificate
