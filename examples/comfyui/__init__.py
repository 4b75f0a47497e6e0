"""A node for ComfyUI: which pixels of an enlarged picture to trust, by a calibration made from a folder of answers.

Copy this folder into ComfyUI's `custom_nodes`, and install the package where ComfyUI's Python finds it. Calibrate what
enlarges the picture, a vendor's node or a local model, as `docs/offline.md` says. The node reads the answer that is
wired into it, and asks no vendor.
"""

from tempfile import TemporaryDirectory

import numpy as np

import blackbox_conformal as bc


class TrustMask:
    """The mask is 1 where the picture is trusted; ComfyUI's InvertMask turns it for nodes that work where it is not."""

    CATEGORY = "image/upscaling"
    FUNCTION = "mask"
    RETURN_TYPES = ("MASK", "STRING")
    RETURN_NAMES = ("trusted", "statement")

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802 - ComfyUI asks for it by this name
        return {
            "required": {
                "sent": ("IMAGE", {"tooltip": "What was enlarged."}),
                "answer": ("IMAGE", {"tooltip": "What came back."}),
                "calibration": ("STRING", {"default": "calibration.json", "tooltip": "The calibration's file."}),
                "alpha": ("FLOAT", {"default": 0.1, "min": 0.001, "max": 1.0, "step": 0.001}),
            }
        }

    @classmethod
    def IS_CHANGED(cls, calibration, **_):  # noqa: N802
        return bc.Calibration.load(calibration).digest

    def mask(self, sent, answer, calibration, alpha):
        if len(sent) != len(answer):
            raise ValueError(f"expected one answer for each picture sent; got {len(answer)} for {len(sent)}")
        known = bc.Calibration.load(calibration)
        with TemporaryDirectory() as run:
            results = [
                bc.mask(large, small, known, alpha, run=run, progress=False)
                for small, large in zip(pixels(sent), pixels(answer), strict=True)
            ]
        masks = answer.new_tensor(np.float32([result.mask for result in results]))
        return masks, "\n".join(result.certificate.stated for result in results)


def pixels(pictures):
    """(N, H, W, 3) uint8 of ComfyUI's (N, H, W, 3) numbers from 0 to 1, cut off as its SaveImage does."""
    return (255 * np.clip(pictures.cpu().numpy()[..., :3], 0, 1)).astype(np.uint8)


NODE_CLASS_MAPPINGS = {"BlackboxConformalTrustMask": TrustMask}
NODE_DISPLAY_NAME_MAPPINGS = {"BlackboxConformalTrustMask": "Trust mask (blackbox-conformal)"}
