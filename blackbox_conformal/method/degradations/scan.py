"""A print on a scanner."""

from blackbox_conformal.method.degradations.degradation import Preset


class Scan(Preset):
    """A scanned print: a soft lens, some noise, sharpened by the scanner's program, saved as JPEG, then cut out.

    What was cut out of a saved file has the JPEG grid anywhere, hence the random grid. The figures are chosen, not
    measured. Dust, scratches, creases and the screen of printed pages are not in it.
    """

    chain = "area+blur:0.4-1+noise:1-3,shot=0.2-0.6+unsharp:50-150,radius=1-2+jpeg:75-95,grid=random"


PLUGIN = Scan
