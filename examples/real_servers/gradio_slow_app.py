"""Three slow calls as a Gradio application with its default queue: gradio_slow_app.py PORT.

Each enlarges by 4 in two seconds and prints when it begins and ends: a plain function, a coroutine and a generator.
"""

import asyncio
import sys
import time
from collections.abc import Iterator

import gradio as gr  # type: ignore[import-not-found]
from PIL import Image

SECONDS = 2.0


def enlarged(image: Image.Image) -> Image.Image:
    return image.resize((image.width * 4, image.height * 4), Image.Resampling.BICUBIC)


def plain(image: Image.Image) -> Image.Image:
    print("begin plain", flush=True)
    time.sleep(SECONDS)
    print("end plain", flush=True)
    return enlarged(image)


async def coroutine(image: Image.Image) -> Image.Image:
    print("begin coroutine", flush=True)
    await asyncio.sleep(SECONDS)
    print("end coroutine", flush=True)
    return enlarged(image)


def generator(image: Image.Image) -> Iterator[Image.Image]:
    print("begin generator", flush=True)
    for _ in range(10):
        time.sleep(SECONDS / 10)
        yield image
    print("end generator", flush=True)
    yield enlarged(image)


with gr.Blocks() as application:
    sent, made = gr.Image(type="pil"), gr.Image(type="pil", format="png")
    for call in (plain, coroutine, generator):
        gr.Button(call.__name__).click(call, sent, made, api_name=call.__name__)
application.launch(server_name="127.0.0.1", server_port=int(sys.argv[1]), share=False, quiet=True)
