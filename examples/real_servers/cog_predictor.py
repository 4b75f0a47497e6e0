"""The network as a Cog model, as `cog build` would put it into a container; `python -m cog.server.http` serves it."""

import tempfile

from cog import BasePredictor, Input, Path  # type: ignore[import-not-found]
from network import SCALE, Network
from PIL import Image


class Predictor(BasePredictor):
    """One input picture, one output file."""

    def setup(self) -> None:
        """Load the weights once."""
        self.network = Network()

    def predict(
        self,
        image: Path = Input(description="Picture to enlarge."),  # noqa: B008 - how Cog declares inputs
        scale: int = Input(description="Magnification.", default=SCALE, choices=[SCALE]),
    ) -> Path:
        """Enlarge `image`."""
        if scale != SCALE:
            raise ValueError(f"this model magnifies by {SCALE}; got scale={scale}")
        out = Path(tempfile.mkdtemp()) / "out.png"
        self.network.upscale(Image.open(image)).save(out)
        return out
