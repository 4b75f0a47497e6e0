"""Six small photographs; nobody writes into their folder."""

import numpy as np
import pytest
from PIL import Image

from blackbox_conformal.images.photographs import demo_photographs
from blackbox_conformal.images.read import read_image


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    for photograph in demo_photographs()[:6]:
        crop = read_image(photograph.path).pixels[100:164, 100:164]
        Image.fromarray(np.ascontiguousarray(crop)).save(folder / f"{photograph.name}.png")
    return folder
