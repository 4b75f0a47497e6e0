"""Another picture, noise, or the same one mirrored or turned is told from the answer and its upload alone."""

import functools
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage import data
from support.picture_files import saved
from support.synthetic import reduced

from blackbox_conformal.embedded.studio import Generator
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.images import resemblance as module
from blackbox_conformal.method.images.making_inputs import bicubic_up
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.method.images.resemblance import Resemblance, Sent

Pixels = np.ndarray


def resemblance(answer: Pixels, sent: Pixels) -> Resemblance:
    return Sent(sent).resemblance(answer)


PHOTOGRAPHS = {
    "astronaut": np.ascontiguousarray(data.astronaut()[:320, 100:420]),
    "chelsea": np.ascontiguousarray(data.chelsea()[:256, 60:380]),
    "coffee": np.ascontiguousarray(data.coffee()[40:296, 100:420]),
    "rocket": np.ascontiguousarray(data.rocket()[100:420, 200:440]),
}


@functools.cache
def answer_to(name: str) -> Pixels:
    """What the embedded vendor makes of the photograph's upload; not to be changed."""
    answer = Generator().upscale(reduced(PHOTOGRAPHS[name], 4), seed=list(PHOTOGRAPHS).index(name))
    answer.flags.writeable = False
    return answer


HONEST: dict[str, Callable[[Pixels], Pixels]] = {
    "as it is": lambda answer: answer,
    "flatter and brighter": lambda answer: (answer * 0.8 + 30).round().astype(np.uint8),
    "heavy JPEG": lambda answer: read_image(saved(Image.fromarray(answer), "JPEG", quality=10)).pixels,
    "black and white": lambda answer: np.asarray(Image.fromarray(answer).convert("L").convert("RGB")),
    "recoloured": lambda answer: np.ascontiguousarray(answer[:, :, ::-1]),
    "shifted by half a pixel of the upload": lambda answer: np.roll(answer, (2, 2), (0, 1)),
    "denoised": lambda answer: np.asarray(Image.fromarray(answer).reduce(2).resize(answer.shape[1::-1])),
}
DISHONEST: tuple[tuple[str, Callable[[Pixels], Pixels]], ...] = (
    ("mirrored left to right", lambda answer: answer[:, ::-1]),
    ("mirrored top to bottom", lambda answer: answer[::-1]),
    ("turned upside down", lambda answer: answer[::-1, ::-1]),
    ("another picture", lambda answer: np.random.default_rng(1).integers(0, 256, answer.shape)),
    ("another picture", lambda answer: np.random.default_rng(1).integers(120, 126, answer.shape)),
)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("change", HONEST)
def test_an_honest_answer_is_never_refused(name: str, change: str) -> None:
    found = resemblance(HONEST[change](answer_to(name)), reduced(PHOTOGRAPHS[name], 4))
    assert found.fault is None, found
    assert found.edges > 0.3


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_something_else_and_another_photograph_are_told_by_name(name: str) -> None:
    sent = reduced(PHOTOGRAPHS[name], 4)
    for said, changed in DISHONEST:
        found = resemblance(np.ascontiguousarray(changed(answer_to(name))).astype(np.uint8), sent)
        assert found.fault.endswith(said), said
    for other in PHOTOGRAPHS.keys() - {name}:
        same_size = np.asarray(Image.fromarray(answer_to(other)).resize((4 * sent.shape[1], 4 * sent.shape[0])))
        assert resemblance(same_size, sent).fault is not None, other


def test_small_pictures_do_not_resemble_each_other_by_chance() -> None:
    uploads = [
        np.ascontiguousarray(reduced(pixels, 4)[y : y + 20, x : x + 20])
        for pixels in PHOTOGRAPHS.values()
        for y in range(0, 40, 10)
        for x in (0, 30)
    ]
    answers = [np.asarray(Image.fromarray(upload).resize((80, 80), Image.Resampling.BICUBIC)) for upload in uploads]
    sent = [Sent(upload) for upload in uploads]
    for change in HONEST.values():
        for one, answer in zip(sent, answers, strict=True):
            assert one.resemblance(np.ascontiguousarray(change(answer))).fault is None
    strangers = [
        one.resemblance(answer).judged
        for i, one in enumerate(sent)
        for j, answer in enumerate(answers)
        if i // 8 != j // 8
    ]
    assert np.mean(strangers) < 0.025


def test_a_square_picture_is_also_told_when_it_is_turned() -> None:
    sent = reduced(PHOTOGRAPHS["astronaut"], 4)
    for turns, said in ((1, "turned left"), (3, "turned right")):
        found = resemblance(np.ascontiguousarray(np.rot90(answer_to("astronaut"), turns)), sent)
        assert found.fault == f"the picture that was sent, {said}"


def test_a_picture_that_shows_nothing_of_its_own_cannot_be_judged() -> None:
    """A vendor that removes grain leaves nothing of it, and that is no fault."""
    grain = np.random.default_rng(2).normal(120, 12, (64, 64, 3)).clip(0, 255).astype(np.uint8)
    tiny = reduced(np.ascontiguousarray(PHOTOGRAPHS["astronaut"][:48, :48]), 4)
    for sent in (np.full((64, 64, 3), 90, np.uint8), grain, tiny):
        side = 4 * sent.shape[0]
        smooth = np.asarray(Image.fromarray(sent).reduce(4).resize((side, side)))
        for answer in (smooth, np.random.default_rng(3).integers(0, 256, smooth.shape, dtype=np.uint8)):
            found = resemblance(answer, sent)
            assert (found.edges, found.fault, found.judged) == (None, None, False)


def sky(turned: bool = False, levels: int = 40, clouds: float = 0.0) -> Pixels:
    """A sky of 64 × 64 without edges, which brightens downwards or, turned, to the right."""
    ramp = np.linspace(150 - levels / 2, 150 + levels / 2, 64)
    plane = np.tile(ramp, (64, 1)) if turned else np.tile(ramp[:, None], (1, 64))
    places = np.mgrid[:64, :64]
    plane = plane + clouds * np.sin(places[0] / 9) * np.sin(places[1] / 11)
    return (plane[:, :, None] * np.array([0.7, 0.85, 1.0])).round().astype(np.uint8)


CAST = np.array([0.8, 1.0, 1.1])


@pytest.mark.parametrize(
    "change",
    [
        lambda answer: answer,
        lambda answer: (answer * 0.8 + 30).round().astype(np.uint8),
        lambda answer: (255 * (answer / 255) ** 1.4).round().astype(np.uint8),
        lambda answer: (answer * CAST).clip(0, 255).round().astype(np.uint8),
        lambda answer: np.asarray(Image.fromarray(answer).convert("L").convert("RGB")),
        lambda answer: read_image(saved(Image.fromarray(answer), "JPEG", quality=20)).pixels,
    ],
    ids=["as it is", "flatter", "darker", "another cast", "black and white", "heavy JPEG"],
)
def test_an_honest_answer_to_a_picture_without_edges_is_known_by_its_colours(change) -> None:
    sent = sky(clouds=6)
    found = resemblance(change(Generator().upscale(sent, 3)), sent)
    assert (found.edges, found.fault, found.judged) == (None, None, True)


def test_another_picture_for_one_without_edges_is_told_or_not_trusted() -> None:
    sent = sky()
    large, turned = bicubic_up(sent, 4), bicubic_up(sky(turned=True), 4)
    noise = np.random.default_rng(4).integers(0, 256, (256, 256, 3), np.uint8)
    for other in (turned, np.ascontiguousarray(large[::-1]), 255 - large, noise):
        found = resemblance(other, sent)
        assert (found.edges, found.fault, found.judged) == (None, "another picture", False)
    half = sky(turned=True, levels=50) // 2 + sky(levels=40) // 2
    pale, turned_and_pale = sky(levels=5), sky(turned=True, levels=5)
    # Hardly any colours tell nothing.
    for other, of in ((half, sent), (pale, pale), (turned_and_pale, pale)):
        found = resemblance(bicubic_up(other, 4), of)
        assert (found.fault, found.judged) == (None, False)


def test_a_symmetric_picture_may_be_mirrored_and_nobody_can_tell() -> None:
    half = reduced(PHOTOGRAPHS["astronaut"], 4)[:, :40]
    sent = np.ascontiguousarray(np.concatenate([half, half[:, ::-1]], axis=1))
    assert resemblance(np.ascontiguousarray(bicubic_up(sent, 4)[:, ::-1]), sent).fault is None


def test_brightness_and_contrast_are_told_by_the_difference() -> None:
    sent = reduced(PHOTOGRAPHS["chelsea"], 4)
    same = resemblance(answer_to("chelsea"), sent)
    changed = resemblance(HONEST["flatter and brighter"](answer_to("chelsea")), sent)
    assert same.difference < 3
    assert changed.difference > 3 * same.difference
    assert changed.edges == pytest.approx(same.edges, abs=0.02)


def test_what_was_sent_is_worked_out_once_for_all_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    worked_out = []
    edges = module._edges
    monkeypatch.setattr(module, "_edges", lambda plane: worked_out.append(plane.shape) or edges(plane))
    upload = reduced(PHOTOGRAPHS["coffee"], 4)
    sent = Sent(upload)
    first = sent.resemblance(answer_to("coffee"))
    assert len(worked_out) == 6, "three sizes of what was sent and of the answer"
    assert sent.resemblance(answer_to("coffee")) == first
    assert len(worked_out) == 9
    changed = np.ascontiguousarray(answer_to("coffee")[::-1])
    assert sent.resemblance(changed) == resemblance(changed, upload)


def smoothed(pixels: Pixels, sigma: float) -> Pixels:
    planes = [gaussian_filter(plane.astype(float), sigma) for plane in pixels.transpose(2, 0, 1)]
    return np.stack(planes, 2).round().astype(np.uint8)


RESTORED: dict[str, tuple[str, Callable[[Pixels, Pixels], Pixels]]] = {
    "a denoiser that does well": ("noise:10", lambda truth, sent: truth),
    "a denoiser that smooths": ("noise:15", lambda truth, sent: smoothed(sent, 2)),
    "a denoiser of strong noise": ("noise:25", lambda truth, sent: smoothed(sent, 3)),
    "a deblurrer": ("blur:3", lambda truth, sent: truth),
    "a remover of artefacts": ("jpeg:10", lambda truth, sent: smoothed(sent, 1)),
    "a colouriser": ("grey", lambda truth, sent: truth),
    "a colouriser of false colours": ("grey", lambda truth, sent: np.ascontiguousarray(truth[:, :, ::-1])),
    "a colouriser of noisy pictures": ("grey+noise:8", lambda truth, sent: smoothed(truth, 1)),
    "one that fills holes": ("holes:0.3", lambda truth, sent: truth),
    "one that fills large holes": ("holes:0.8", lambda truth, sent: truth),
    "one that fills many small holes": ("holes:0.6,side=4", lambda truth, sent: truth),
    "one that leaves holes": ("holes:0.3", lambda truth, sent: sent),
    "one that does nothing": ("noise:10", lambda truth, sent: sent),
}


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("vendor", RESTORED)
def test_an_honest_answer_of_the_same_size_is_never_refused_and_a_mirrored_one_is(name: str, vendor: str) -> None:
    degradation, restore = RESTORED[vendor]
    mixture = Mixture.of_text(degradation)
    upload = mixture.apply(PHOTOGRAPHS[name], 1, name)
    sent = Sent(upload, mixture.hidden(upload))
    answer = restore(PHOTOGRAPHS[name], upload)
    found = sent.resemblance(answer)
    assert found.fault is None, found
    if found.edges is None:
        assert degradation in ("noise:15", "noise:25"), "only strong noise hides the edges of a photograph"
        return
    assert found.edges > 0.4
    mirrored = sent.resemblance(np.ascontiguousarray(answer[:, ::-1]))
    assert mirrored.fault == "the picture that was sent, mirrored left to right"
    other = next(PHOTOGRAPHS[each] for each in PHOTOGRAPHS if each != name)
    same_size = np.asarray(Image.fromarray(other).resize(upload.shape[1::-1]))
    assert sent.resemblance(same_size).fault is not None


def test_a_picture_that_shows_too_little_cannot_be_judged_and_holes_count_in_no_difference() -> None:
    upload = PHOTOGRAPHS["astronaut"]
    hidden = np.ones(upload.shape[:2], bool)
    assert Sent(upload, hidden).resemblance(upload[::-1]).edges is None
    hidden[:100, :100] = False
    assert Sent(upload, hidden).resemblance(upload).edges == pytest.approx(1)
    assert Sent(upload, hidden).resemblance(np.ascontiguousarray(upload[::-1])).fault is not None
    mixture, truth = Mixture.of_text("holes:0.4"), PHOTOGRAPHS["coffee"]
    upload = mixture.apply(truth, 1, "photograph")
    assert Sent(upload, mixture.hidden(upload)).resemblance(truth).difference == 0
    assert Sent(upload).resemblance(truth).difference > 20
