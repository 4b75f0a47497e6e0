"""Every comparison with a vendor's client."""

from clients import (
    of_bedrock,
    of_fal,
    of_gemini,
    of_gradio,
    of_hugging_face,
    of_openai,
    of_replicate,
    of_runpod,
    of_runware,
    of_vertex_imagen,
)
from clients.case import Case

CASES: tuple[Case, ...] = tuple(
    case
    for module in (
        of_bedrock,
        of_fal,
        of_gemini,
        of_gradio,
        of_hugging_face,
        of_openai,
        of_replicate,
        of_runpod,
        of_runware,
        of_vertex_imagen,
    )
    for case in module.CASES
)
