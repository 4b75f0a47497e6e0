"""What Real-ESRGAN and many networks after it were trained with."""

from itertools import product

from blackbox_conformal.method.degradations.degradation import Preset

_NOISES = (("60", ""), ("40", ",grey=true"))
_SIZE = "rescale:1,filter=random,relative=input+bicubic"
_LAST = (f"jpeg:30-95+{_SIZE}", f"{_SIZE}+jpeg:30-95")


def _chain(grey: str, last: str) -> str:
    return (
        f"blur:0.2-3+rescale:0.15-1.5,filter=random+noise:1-30,shot=0-1{grey}+jpeg:30-95"
        f"+blur:0.2-1.5,chance=0.8+rescale:0.3-1.2,filter=random,relative=input+noise:1-25,shot=0-1{grey}+{last}"
    )


class RealEsrgan(Preset):
    """The second-order chain of Real-ESRGAN (Wang, Xie, Dong and Shan 2021): blurred, resized, noisy and saved, twice.

    Ranges and probabilities are the paper's. Left out are its blurs that are not round Gaussians, its sinc filters for
    ringing, and the sharpening of the training pictures. Three things are simpler than there. Sizes are drawn evenly
    from the whole range, rather than first whether to enlarge. The share of the noise that grows with the light is
    drawn from 0 to 1, rather than all or none. Noise is coloured, or grey, in both rounds.
    """

    chain = " | ".join(f"{int(share) / 2:g}% {_chain(grey, last)}" for (share, grey), last in product(_NOISES, _LAST))


PLUGIN = RealEsrgan
