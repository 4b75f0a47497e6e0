"""The node for ComfyUI, with an array in the place of a tensor: its mask is the one of the answer that it got."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image
from support.documentation import ROOT
from support.synthetic import draw, photograph, reduced, write_photographs

import blackbox_conformal as bc


class Tensor(np.ndarray):
    """As much of torch's as the node needs."""

    def cpu(self) -> "Tensor":
        return self

    def numpy(self) -> np.ndarray:
        return np.asarray(self)

    def new_tensor(self, values: np.ndarray) -> "Tensor":
        return np.asarray(values).view(Tensor)


def tensor(*pictures: np.ndarray) -> Tensor:
    return (np.float32(pictures) / 255).view(Tensor)


@pytest.fixture(scope="module")
def node() -> ModuleType:
    spec = importlib.util.spec_from_file_location("comfyui_node", ROOT / "examples" / "comfyui" / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("comfyui")
    (folder / "answers").mkdir()
    for seed in range(12):
        Image.fromarray(draw(photograph(seed), seed)).save(folder / "answers" / f"p{seed}.png")
    photographs = [str(path) for path in write_photographs(folder / "photographs", range(12))]
    vendor = bc.load_adapter("folder", path=str(folder / "answers"), label="made up")
    bc.calibrate(vendor, photographs, run=folder / "run").save(folder / "c.json")
    return folder / "c.json"


def masked(node: ModuleType, sent: Tensor, answer: Tensor, calibration: Path) -> tuple[Tensor, str]:
    (kind,) = node.NODE_CLASS_MAPPINGS.values()
    assert list(kind.INPUT_TYPES()["required"]) == ["sent", "answer", "calibration", "alpha"]
    # ComfyUI writes it into a JSON document.
    assert json.dumps(kind.IS_CHANGED(sent=sent, answer=answer, calibration=str(calibration), alpha=0.4))
    return getattr(kind(), kind.FUNCTION)(sent, answer, str(calibration), 0.4)


def test_a_batch_gets_the_masks_of_its_answers(node: ModuleType, calibration: Path, tmp_path: Path) -> None:
    truths = [photograph(seed) for seed in (20, 21)]
    answers = [draw(truth, seed) for seed, truth in enumerate(truths)]
    small = [reduced(truth, 4) for truth in truths]
    trusted, statement = masked(node, tensor(*small), tensor(*answers), calibration)
    for name, answer in zip("ab", answers, strict=True):
        Image.fromarray(answer).save(tmp_path / f"{name}.png")
    vendor = bc.load_adapter("folder", path=str(tmp_path), label="made up")
    pictures = list(zip("ab", small, strict=True))
    results = [
        bc.mask_all(vendor, [each], str(calibration), 0.4, run=tmp_path / "run", progress=False)[0] for each in pictures
    ]
    assert 0 < trusted.mean() < 1
    assert np.array_equal(trusted, [result.mask for result in results])
    assert statement == "\n".join(result.certificate.stated for result in results)


def test_another_answer_to_the_same_picture_gets_its_own_mask(node: ModuleType, calibration: Path) -> None:
    truth = photograph(30)
    small, rough, smooth = reduced(truth, 4), draw(truth, 0), reduced(truth, 4).repeat(4, 0).repeat(4, 1)
    one, other = (masked(node, tensor(small), tensor(answer), calibration)[0] for answer in (rough, smooth))
    assert not np.array_equal(one, other)
    both, _ = masked(node, tensor(small, small), tensor(rough, smooth), calibration)
    assert np.array_equal(both, np.concatenate([one, other]))


def test_what_cannot_be_masked_is_refused(node: ModuleType, calibration: Path, tmp_path: Path) -> None:
    truth = photograph(31)
    small, large = tensor(reduced(truth, 4)), tensor(draw(truth, 0))
    with pytest.raises(ValueError, match="one answer for each picture sent; got 1 for 2"):
        masked(node, np.concatenate([small, small]).view(Tensor), large, calibration)
    vendor = bc.from_function("mine", lambda picture: picture.repeat(4, 0).repeat(4, 1))
    paths = [str(path) for path in write_photographs(tmp_path / "photographs", range(6))]
    bc.calibrate(vendor, paths, run=tmp_path / "run").save(tmp_path / "c.json")
    with pytest.raises(bc.BlackboxConformalError, match="for a calibration on answers that were given"):
        masked(node, small, large, tmp_path / "c.json")
