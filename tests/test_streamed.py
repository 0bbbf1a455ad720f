"""Images that stay on disk are cropped, flipped and resized as torchvision does it, and come in a drawn order."""

import gzip
import io
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from scipy.io import savemat
from support.made_data import make_folder
from torchvision.datasets import imagenet as torchvision_imagenet
from torchvision.transforms import v2

from permask.errors import DataError
from permask.training.data.imagenet import ARCHIVES, imagenet_folder
from permask.training.data.load import load_data
from permask.training.data.sources import identify
from permask.training.data.streamed import DRAWS, IMAGENET, crop_box
from permask.training.streams import stream


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("PERMASK_CACHE", str(tmp_path / "cache"))
    return make_folder(tmp_path / "images", splits=("train", "val"), size=40, suffix=".jpg")


def load(root, **options):
    content = identify("streamed_folder", str(root), published=False, stream=True)
    defaults = {"train_size": None, "test_size": None, "validation": 0, "split_seed": 0, "image_size": 24}
    return load_data("streamed_folder", root=str(root), content=content, **(defaults | options))


def boxes(height, width, ours):
    """Many crops of an image: ours, or torchvision's."""
    if ours:
        draws = torch.rand(4000, DRAWS, generator=stream(0, "augmentation")).tolist()
        return np.array([crop_box(height, width, row) for row in draws])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transform, image = v2.RandomResizedCrop(8), torch.empty(3, height, width)
        found = [transform.make_params([image]) for _ in range(4000)]
    return np.array([[box[name] for name in ("top", "left", "height", "width")] for box in found])


@pytest.mark.parametrize(("height", "width"), [(40, 40), (64, 30), (20, 100)])
def test_crops_are_distributed_as_torchvisions(height, width):
    ours, theirs = boxes(height, width, ours=True), boxes(height, width, ours=False)
    for ours_of, theirs_of in zip(ours.T, theirs.T, strict=True):
        assert stats.ks_2samp(ours_of, theirs_of).pvalue > 1e-3
    assert stats.ks_2samp(ours[:, 2] / ours[:, 3], theirs[:, 2] / theirs[:, 3]).pvalue > 1e-3
    assert (ours[:, :2] >= 0).all()
    assert (ours[:, :2] + ours[:, 2:] <= (height, width)).all()


def test_images_are_evaluated_as_torchvision_does(root):
    data = load(root)
    transform = v2.Compose(
        [
            v2.Resize(round(24 * 256 / 224), antialias=True),
            v2.CenterCrop(24),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(IMAGENET.mean, IMAGENET.std),
        ]
    )
    paths = sorted((root / "val").rglob("*.jpg"))
    expected = torch.stack([transform(v2.functional.pil_to_tensor(Image.open(path))) for path in paths])
    images = torch.cat([images for images, _ in data.test.batches(7)])
    torch.testing.assert_close(images, expected)
    assert torch.equal(torch.cat([labels for _, labels in data.test.batches(7)]), data.test.labels)
    assert data.input_shape == (3, 24, 24) and data.classes == 3


def test_an_epoch_depends_on_its_generators_alone(root):
    train = load(root).train

    def epoch(order, augmentation):
        return list(train.epoch(5, stream(order, "order"), stream(augmentation, "augmentation")))

    first, again, other = epoch(0, 0), epoch(0, 0), epoch(0, 1)
    assert [len(labels) for _, labels in first] == [5, 5, 5, 3]
    assert torch.equal(torch.cat([labels for _, labels in first]).bincount(), train.labels.bincount())
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(first, again, strict=True))
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(first, other, strict=True))
    assert not any(torch.equal(a, b) for (a, _), (b, _) in zip(first, other, strict=True))


def test_the_shares_of_a_batch_are_the_batch(root):
    """Also where the epoch goes on from its second batch."""
    train = load(root).train

    def epoch(skip=0, share=(0, 1)):
        return list(train.epoch(5, stream(0, "order"), stream(0, "augmentation"), skip, share))

    for whole, *parts in zip(epoch()[1:], *(epoch(1, (which, 2)) for which in (0, 1)), strict=True):
        assert all(
            torch.equal(torch.cat(of), all_of) for of, all_of in zip(zip(*parts, strict=True), whole, strict=True)
        )


def test_a_damaged_file_is_named_when_it_is_reached(root):
    path = root / "train" / "class2" / "004.jpg"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DataError, match=r"class2/004\.jpg: expected an image"):
        list(load(root).train.batches(4))


def test_files_that_changed_since_the_study_was_planned(root):
    with pytest.raises(DataError, match="the study expects made"):
        load_data("streamed_folder", root=str(root), content="made", image_size=24)


def tar_of(files):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return made.getvalue()


def jpeg(shade):
    made = io.BytesIO()
    Image.new("RGB", (30, 20), (shade, shade, shade)).save(made, "JPEG")
    return made.getvalue()


def make_imagenet_archives(root):
    """The three archives as they are published, of two classes and three images each."""
    wnids, fields = ["n02", "n01"], ["ILSVRC2012_ID", "WNID", "words", "gloss", "num_children"]
    synsets = np.array(
        [(number, wnid, f"word {wnid}", "gloss", 0) for number, wnid in enumerate(wnids, 1)],
        dtype=[(name, object) for name in fields],
    )
    meta = io.BytesIO()
    savemat(meta, {"synsets": synsets})
    devkit = {
        "ILSVRC2012_devkit_t12/data/meta.mat": meta.getvalue(),
        "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt": b"2\n1\n",
    }
    train = {f"{w}.tar": tar_of({f"{w}_{n}.JPEG": jpeg(40 * n) for n in range(3)}) for w in wnids}
    val = {f"ILSVRC2012_val_0000000{n}.JPEG": jpeg(60 * n) for n in (1, 2)}
    root.mkdir()
    for name, files in zip(ARCHIVES, (devkit, train, val), strict=True):
        packed = tar_of(files)
        if name.endswith(".gz"):
            packed = gzip.compress(packed)
        (root / name).write_bytes(packed)
    return root


def test_imagenets_archives_are_unpacked_once(tmp_path, monkeypatch):
    root = make_imagenet_archives(tmp_path / "imagenet")
    monkeypatch.setattr(torchvision_imagenet, "_verify_archive", lambda *arguments: None)
    folder = imagenet_folder(root)
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.JPEG"))
    assert [path for path in found if path.startswith("train")] == [
        f"train/{w}/{w}_{n}.JPEG" for w in ("n01", "n02") for n in range(3)
    ]
    assert [path for path in found if path.startswith("val")] == [
        "val/n01/ILSVRC2012_val_00000001.JPEG",
        "val/n02/ILSVRC2012_val_00000002.JPEG",
    ]
    monkeypatch.setattr(torchvision_imagenet, "_verify_archive", pytest.fail)
    assert imagenet_folder(root) == folder


def test_archives_that_are_not_imagenets_leave_nothing(tmp_path):
    root = make_imagenet_archives(tmp_path / "imagenet")
    with pytest.raises(DataError, match=r"cannot be unpacked.*ILSVRC2012_devkit_t12"):
        imagenet_folder(root)
    assert sorted(path.name for path in root.iterdir() if path.is_dir()) == []


def test_missing_imagenet_says_what_is_expected(tmp_path):
    with pytest.raises(DataError, match=r"train/CLASS/\*\.JPEG .*ILSVRC2012_img_train\.tar"):
        imagenet_folder(tmp_path)
