"""Images are augmented as torchvision does it: the same outcomes, all equally likely, each image its own."""

import pytest
import torch
from scipy import stats
from torchvision.transforms import v2

from permask.training.data.augmentation import FlipAndCrop, Normalisation
from permask.training.data.images import Images
from permask.training.streams import stream

PADDING = 2
OUTCOMES = 2 * (2 * PADDING + 1) ** 2


def pixels(images, height=5, width=6, channels=3):
    return torch.randint(1, 256, (images, height, width, channels), dtype=torch.uint8, generator=stream(0, "split"))


def as_torchvision_crops(image_HWC):
    """Every outcome of RandomCrop(size, padding) and RandomHorizontalFlip(): flipped or not, row, column."""
    image = image_HWC.permute(2, 0, 1)
    height, width = image.shape[1:]
    padded = v2.functional.pad(image, [PADDING])
    crops = [
        v2.functional.crop(padded, top, left, height, width)
        for top in range(2 * PADDING + 1)
        for left in range(2 * PADDING + 1)
    ]
    return [crop.permute(1, 2, 0) for crop in crops + [v2.functional.horizontal_flip(crop) for crop in crops]]


def test_every_draw_is_one_outcome_of_torchvision():
    image = pixels(1)
    found = FlipAndCrop(PADDING).apply(image.expand(OUTCOMES, -1, -1, -1), torch.arange(OUTCOMES))
    assert torch.equal(found, torch.stack(as_torchvision_crops(image[0])))


def test_all_outcomes_are_equally_likely():
    draws = FlipAndCrop(PADDING).draw(200 * OUTCOMES, stream(3, "augmentation"))
    counts = torch.bincount(draws, minlength=OUTCOMES)
    assert len(counts) == OUTCOMES
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


def test_torchvision_draws_from_the_same_outcomes_as_often():
    image = pixels(1)
    transform = v2.Compose([v2.RandomCrop(image.shape[1:3], padding=PADDING), v2.RandomHorizontalFlip()])
    outcomes = {tuple(crop.flatten().tolist()): n for n, crop in enumerate(as_torchvision_crops(image[0]))}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        drawn = [transform(image[0].permute(2, 0, 1)).permute(1, 2, 0) for _ in range(20 * OUTCOMES)]
    theirs = torch.bincount(torch.tensor([outcomes[tuple(crop.flatten().tolist())] for crop in drawn]))
    ours = torch.bincount(FlipAndCrop(PADDING).draw(20 * OUTCOMES, stream(3, "augmentation")))
    assert stats.chi2_contingency([theirs.numpy(), ours.numpy()]).pvalue > 1e-3


def test_each_image_of_a_batch_has_a_crop_of_its_own():
    images = pixels(1).expand(64, -1, -1, -1)
    draws = FlipAndCrop(PADDING).draw(64, stream(0, "augmentation"))
    found = FlipAndCrop(PADDING).apply(images, draws)
    assert len({tuple(image.flatten().tolist()) for image in found}) == len(draws.unique())


def test_normalisation_is_torchvisions():
    images = pixels(8).permute(0, 3, 1, 2)
    mean, std = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
    theirs = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)])(images)
    torch.testing.assert_close(Normalisation(mean, std)(images), theirs)


def split(augmentation=None):
    images = pixels(50)
    return Images(images, torch.arange(50), Normalisation((0.5,) * 3, (0.5,) * 3), augmentation)


def test_an_epoch_has_every_image_once_in_a_drawn_order():
    batches = list(split().epoch(16, stream(0, "order")))
    assert [len(labels) for _, labels in batches] == [16, 16, 16, 2]
    order = torch.cat([labels for _, labels in batches])
    assert sorted(order.tolist()) == list(range(50)) and order.tolist() != list(range(50))
    images = torch.cat([images for images, _ in batches])
    assert torch.equal(images, split().batch(order)[0])


def test_augmentation_draws_do_not_shift_the_order():
    plain = [labels for _, labels in split().epoch(16, stream(0, "order"))]
    augmented = list(split(FlipAndCrop(PADDING)).epoch(16, stream(0, "order"), stream(0, "augmentation")))
    assert all(torch.equal(a, b) for a, (_, b) in zip(plain, augmented, strict=True))
    again = split(FlipAndCrop(PADDING)).epoch(16, stream(0, "order"), stream(0, "augmentation"))
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(augmented, again, strict=True))
    other = split(FlipAndCrop(PADDING)).epoch(16, stream(0, "order"), stream(1, "augmentation"))
    assert not all(torch.equal(a, b) for (a, _), (b, _) in zip(augmented, other, strict=True))


@pytest.mark.parametrize("batch_size", [7, 50, 64])
def test_inputs_are_batches_that_can_be_read_again(batch_size):
    inputs = split(FlipAndCrop(PADDING)).inputs(batch_size)
    first = list(inputs)
    assert len(first) == len(inputs)
    assert all(torch.equal(a, b) for a, b in zip(first, inputs, strict=True))
    assert all(torch.equal(a, inputs[n]) for n, a in enumerate(first))
    assert torch.equal(inputs[-1], first[-1]) and torch.equal(inputs[:1][0], first[0])
