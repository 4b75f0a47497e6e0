"""A node for ComfyUI: which pixels of an enlarged picture to trust, by a calibration made from a folder of answers.

Copy this folder into ComfyUI's `custom_nodes`, and install the package where ComfyUI's Python finds it. Calibrate what
enlarges the picture, a vendor's node or a local model, as `docs/offline.md` says: with the adapter `folder`, one answer
each. The node reads the answer that is wired into it, and asks no vendor.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

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
        vendor = known.procedure.vendor
        if vendor["adapter"] != "folder" or known.procedure.draws != 1:
            raise ValueError(
                f"expected a calibration of one answer each in a folder; {calibration} is of {vendor['adapter']} with "
                f"{known.procedure.draws} draws. Calibrate with --adapter folder, as docs/offline.md says"
            )
        answers = pixels(answer)
        with TemporaryDirectory() as folder:
            for number, large in enumerate(answers):
                Image.fromarray(large).save(Path(folder, f"{number}.png"), compress_level=1)
            reader = bc.load_adapter("folder", **{**vendor["parameters"], "path": folder})
            pictures = [(str(number), small) for number, small in enumerate(pixels(sent))]
            results = bc.mask_all(reader, pictures, known, alpha, run=Path(folder, "run"), progress=False)
        if not all(np.array_equal(result.image, large) for result, large in zip(results, answers, strict=True)):
            raise ValueError("expected different pictures, and a calibration of answers as they are; got others")
        masks = answer.new_tensor(np.float32([result.mask for result in results]))
        return masks, "\n".join(result.certificate.stated for result in results)


def pixels(pictures):
    """(N, H, W, 3) uint8 of ComfyUI's (N, H, W, 3) numbers from 0 to 1, cut off as its SaveImage does."""
    return (255 * np.clip(pictures.cpu().numpy()[..., :3], 0, 1)).astype(np.uint8)


NODE_CLASS_MAPPINGS = {"BlackboxConformalTrustMask": TrustMask}
NODE_DISPLAY_NAME_MAPPINGS = {"BlackboxConformalTrustMask": "Trust mask (blackbox-conformal)"}
