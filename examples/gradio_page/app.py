"""The demonstration as a page of Gradio, ready for a hosted space: no key, and nothing that a visitor sends is kept.

    pip install -r requirements.txt && python app.py

`requirements.txt` names the wheel beside it, which `python -m build --wheel` makes. Put your own vendor in the place of
the embedded one once its key is a secret of the space, and give `bc.mask` a `max_cost`.
"""

from tempfile import TemporaryDirectory

import gradio as gr
import numpy as np

import blackbox_conformal as bc
from blackbox_conformal.embedded.demonstration import reduce
from blackbox_conformal.method.images.overlay import overlay
from blackbox_conformal.method.images.photographs import demo_photographs
from blackbox_conformal.method.images.read import read_image

SIDE = 512
"""Photographs are reduced and cut to at most so many pixels a side."""

ALPHA = 0.2
VENDOR = bc.load_adapter("embedded", model="realesr-general-x4v3")
INTRODUCTION = """# Which parts of an enlarged picture can you believe?
Your photograph is made four times smaller. A model, Real-ESRGAN's `realesr-general-x4v3`, enlarges it again, and
invents some of what it shows. Drag the line: left is the model's picture, right the same with what not to trust
hatched; dotted is trusted, but no detail was added there. Below is what was really there."""


def calibrated(shown: str = "desert-hike") -> tuple[bc.Calibration, np.ndarray]:
    """A calibration on the photographs of the package but one, and that one."""
    photographs = {each.name: reduce(read_image(each.path).pixels, SIDE) for each in demo_photographs()}
    example = photographs.pop(shown)
    with TemporaryDirectory() as run:
        return bc.calibrate(VENDOR, photographs, run=run, progress=False), example


def masked(calibration: bc.Calibration, photograph: np.ndarray | None, alpha: float):
    """The delivered picture and the one with its mask, the photograph, and what is promised."""
    if photograph is None:
        raise gr.Error("Choose a photograph first.")
    truth = reduce(photograph, SIDE)
    try:
        with TemporaryDirectory() as run:
            (sent,) = bc.degrade([truth], scale=calibration.procedure.scale)
            result = bc.mask(VENDOR, ("your photograph", sent.pixels), calibration, alpha, run=run, progress=False)
    except bc.BlackboxConformalError as error:
        raise gr.Error(str(error)) from None
    share = f"**{result.certificate.trusted_share:.0%} of the picture is trusted.** {result.certificate.stated}"
    return (result.image, overlay(result.image, result.mask, result.shown_detail)), truth, share


def page() -> gr.Blocks:
    """The page, with the example masked; it calibrates first, which takes half a minute or more."""
    calibration, example = calibrated()
    pair, original, share = masked(calibration, example, ALPHA)
    # Gradio keeps uploads until then.
    with gr.Blocks(title="blackbox-conformal", analytics_enabled=False, delete_cache=(600, 600)) as blocks:
        gr.Markdown(INTRODUCTION)
        with gr.Row():
            with gr.Column():
                photograph = gr.Image(example, label="Your photograph", type="numpy", sources=["upload"], height=200)
                label = "alpha: the share of invented detail that may be clear, on average"
                alpha = gr.Slider(0.1, 0.5, ALPHA, step=0.05, label=label)
                button = gr.Button("Enlarge and mask", variant="primary")
            with gr.Column():
                label = "Model's picture, and what not to trust of it"
                shown = gr.ImageSlider(pair, label=label, interactive=False, slider_position=15)
                truth = gr.Image(original, label="What was really there", interactive=False)
                statement = gr.Markdown(share)
        button.click(lambda *given: masked(calibration, *given), [photograph, alpha], [shown, truth, statement])
    return blocks


if __name__ == "__main__":
    page().launch()
