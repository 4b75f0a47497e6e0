"""Every comparison with a vendor's client."""

from datetime import date

from clients import (
    of_bedrock,
    of_bria,
    of_fal,
    of_flux,
    of_gemini,
    of_gradio,
    of_hugging_face,
    of_hugging_face_providers,
    of_leonardo,
    of_openai,
    of_replicate,
    of_runpod,
    of_runware,
    of_segmind,
    of_vertex_imagen,
    of_wavespeed,
)
from clients.case import Case

COMPARED_ON = date(2026, 11, 26)
"""When the clients in the requirements were the newest and the differences were last judged."""

CASES: tuple[Case, ...] = (
    *of_bedrock.CASES,
    *of_bria.CASES,
    *of_fal.CASES,
    *of_flux.CASES,
    *of_gemini.CASES,
    *of_gradio.CASES,
    *of_hugging_face.CASES,
    *of_hugging_face_providers.CASES,
    *of_leonardo.CASES,
    *of_openai.CASES,
    *of_replicate.CASES,
    *of_runpod.CASES,
    *of_runware.CASES,
    *of_segmind.CASES,
    *of_vertex_imagen.CASES,
    *of_wavespeed.CASES,
)

FURTHER = {
    "fal": "Names, types and allowed values of every listed model's inputs, its seed and the place of its picture are"
    " those of the types in fal's JavaScript client 1.10.1 (`tests/clients/test_fal_types.py`, where npm is installed)."
}
"""Adapter → what is compared besides."""

NOT_COMPARED = {
    "bedrock": "the fast and creative modes, whose fields the client does not know; keys of roles and single sign-on",
    "bria": "webhooks; failures of the picture's content, whose codes the client does not tell apart",
    "fal": "limits and ranges of inputs, which the types do not tell; the fetch of the picture, which it leaves"
    " to its user; uploads to fal's storage, which the adapter does not use; webhooks",
    "flux": "FLUX.2, which the client does not know; a task that is polled on another host than it was submitted to,"
    " where the client sends the key and the adapter does not",
    "gemini": "chats and files, which the adapter does not use",
    "gradio": "logins; a server before version 6 (see real servers)",
    "hugging-face": "answers in another form than a picture",
    "hugging-face-providers": "what the partners' failures look like behind the router, which no page documents; a"
    " Replicate prediction that takes over a minute, which the client gives up",
    "leonardo": "the storing of the picture and the fetch of the result, which the client leaves to its user; quotes",
    "openai": "sizes of the other models; streamed answers",
    "replicate": "inputs of the single models, which the client passes on unread; cancelling; `Prefer: wait`, which"
    " the adapter does not send, so that no paid prediction is lost with its connection",
    "runpod": "`/runsync` and streams, which the adapter does not use; a development server (see real servers)",
    "runware": "the client's web socket, which a bridge turns into the adapter's HTTP; the other models",
    "segmind": "the queue of the second version of the interface, which the client uses unless told otherwise;"
    " inputs of the single models, which it passes on unread",
    "vertex-imagen": "how a token is come by",
    "wavespeed": "inputs of the single models, which the client passes on unread; the fetch of the picture, which it"
    " leaves to its user; uploads",
}
"""Adapter → what its client does, or what of the adapter its client could show, that no case covers."""
