"""Collect the comparison with the vendors' clients only where `requirements.txt` is installed."""

import os
from importlib.util import find_spec

CLIENTS = (
    "blackforest",
    "botocore",
    "bria_client",
    "fal_client",
    "google.genai",
    "gradio_client",
    "huggingface_hub",
    "leonardo_ai_sdk",
    "openai",
    "replicate",
    "runpod",
    "runware",
    "segmind",
    "wavespeed",
)


def _installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # The package that it is in.
        return False


collect_ignore = [] if os.environ.get("FAL_CLIENT_TYPES") else ["test_fal_types.py"]
collect_ignore_glob = [] if all(map(_installed, CLIENTS)) else ["test_*.py"]
