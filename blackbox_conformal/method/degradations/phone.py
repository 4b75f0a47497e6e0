"""A photograph by a phone's small sensor."""

from blackbox_conformal.method.degradations.degradation import Preset


class Phone(Preset):
    """A photograph by a phone: averaged over the area of a sensor's pixel, noisy, sharpened, and saved as JPEG.

    The noise has the form of Foi, Trimeche, Katkovnik and Egiazarian (2008); most grows with the light.
    Its size after a phone's own denoising, and how far phones sharpen, are chosen to look like daylight to dusk; they
    were not measured.
    """

    chain = "area+noise:1-6,shot=0.3-0.9+unsharp:50-150,radius=0.7-1.5,threshold=0+jpeg:85-95"


PLUGIN = Phone
