"""The network as a Gradio application: gradio_app.py PORT."""

import sys

import gradio as gr  # type: ignore[import-not-found]
from network import Network
from PIL import Image

network = Network()


def upscale(image: Image.Image, scale: float) -> Image.Image:
    """The one call of the application."""
    try:
        return network.upscale(image)
    except ValueError as error:
        raise gr.Error(str(error)) from error


application = gr.Interface(
    upscale,
    inputs=[gr.Image(type="pil"), gr.Number(4, precision=0)],
    outputs=gr.Image(type="pil", format="png"),
    api_name="upscale",
)
application.launch(server_name="127.0.0.1", server_port=int(sys.argv[1]), share=False, show_error=True, quiet=True)
