"""Six small photographs that nobody writes into."""

import numpy as np
import pytest
from PIL import Image
from support.postgres_server import postgres as postgres

from blackbox_conformal.method.images.photographs import demo_photographs
from blackbox_conformal.method.images.read import read_image


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    # Those with detail in the square that is cut out.
    detailed = {"astronaut", "casa-mila", "chelsea", "coffee", "hubble", "tea-gardens"}
    for photograph in (one for one in demo_photographs() if one.name in detailed):
        crop = read_image(photograph.path).pixels[100:164, 100:164]
        Image.fromarray(np.ascontiguousarray(crop)).save(folder / f"{photograph.name}.png")
    return folder
