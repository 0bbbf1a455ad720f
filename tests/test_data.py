"""Data sets are read from their published files, once, whatever the path; what is wrong with a file is said."""

import os
import pickle
import shutil
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from pydantic import TypeAdapter
from support.made_data import make_cifar10, make_cifar100, make_folder, make_svhn

from permask.errors import DataError
from permask.study.data import DataSet, data_in_keys, data_options, decode_images, find_content
from permask.training.data.cache import making
from permask.training.data.load import load_data, load_once
from permask.training.data.subsets import balanced_order
from permask.training.streams import stream


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PERMASK_CACHE", str(tmp_path / "cache"))
    load_once.cache_clear()


def section(**options):
    return TypeAdapter(DataSet).validate_python(options)


def load(**options):
    data = section(**options)
    return load_data(**(data.model_dump() | {"content": find_content(data)}))


def in_keys(data):
    return data_in_keys(data, find_content(data))


def unchecked(dataset):
    """torchvision's data set without its look at the checksums, which made files do not have."""
    return type(dataset.__name__, (dataset,), {"_check_integrity": lambda self: True, "_load_meta": lambda self: None})


@pytest.mark.parametrize(
    ("name", "make", "theirs"),
    [
        ("cifar10", make_cifar10, torchvision.datasets.CIFAR10),
        ("cifar100", make_cifar100, torchvision.datasets.CIFAR100),
    ],
)
def test_cifar_is_read_as_torchvision_reads_it(tmp_path, name, make, theirs):
    root = make(tmp_path / "data")
    data = load(name=name, root=str(root), published=False)
    for split, train in ((data.train, True), (data.test, False)):
        expected = unchecked(theirs)(str(root), train=train)
        assert np.array_equal(split.samples.numpy(), expected.data)
        assert split.labels.tolist() == expected.targets
    assert data.classes == (10 if name == "cifar10" else 100)
    assert data.input_shape == (3, 32, 32)


def test_svhn_is_read_as_torchvision_reads_it(tmp_path):
    root = make_svhn(tmp_path / "data")
    data = load(name="svhn", root=str(root), published=False)
    for split, name in ((data.train, "train"), (data.test, "test")):
        expected = unchecked(torchvision.datasets.SVHN)(str(root), name)
        assert np.array_equal(split.samples.permute(0, 3, 1, 2).numpy(), expected.data)
        assert split.labels.tolist() == expected.labels.tolist()


@pytest.mark.parametrize(
    ("name", "make", "usual"), [("svhn", make_svhn, False), ("cifar10", make_cifar10, True)], ids=["svhn", "cifar10"]
)
def test_digits_are_not_mirrored_unless_the_study_says_so(tmp_path, name, make, usual):
    root = str(make(tmp_path / "data"))
    assert load(name=name, root=root, published=False).train.augmentation.flip is usual
    for flip in (True, False):
        assert load(name=name, root=root, published=False, flip=flip).train.augmentation.flip is flip


def test_keys_of_svhn_always_say_whether_it_is_mirrored_and_others_only_where_it_is_unusual():
    assert data_in_keys(section(name="svhn"), "") == {"name": "svhn", "flip": False}
    assert data_in_keys(section(name="svhn", flip=True), "") == {"name": "svhn", "flip": True}
    for flip in (True, False):
        assert data_options(data_in_keys(section(name="svhn", flip=flip), ""), "", "")["flip"] is flip
    for name in ("cifar10", "cifar100", "image_folder"):
        assert data_in_keys(section(name=name, flip=True), "") == {"name": name}
        assert data_in_keys(section(name=name, flip=False), "") == {"name": name, "flip": False}


def test_folders_are_listed_and_decoded_as_torchvision_does(tmp_path):
    root = make_folder(tmp_path / "data", splits=("train", "val"))
    (root / "train" / "class0" / "notes.txt").write_text("no image")
    data = load(name="image_folder", root=str(root))
    for split, name in ((data.train, "train"), (data.test, "val")):
        expected = torchvision.datasets.ImageFolder(str(root / name))
        assert split.labels.tolist() == expected.targets
        assert all(
            np.array_equal(ours.numpy(), np.asarray(theirs))
            for ours, (theirs, _) in zip(split.samples, expected, strict=True)
        )
    pixels = data.train.samples.double() / 255
    torch.testing.assert_close(torch.tensor(data.train.normalisation.mean).double(), pixels.mean((0, 1, 2)))
    std = pixels.std((0, 1, 2), correction=0)
    torch.testing.assert_close(torch.tensor(data.train.normalisation.std).double(), std)


def test_batches_are_normalised_by_the_training_images(tmp_path):
    data = load(name="image_folder", root=str(make_folder(tmp_path / "data")))
    images = torch.cat([images for images, _ in data.train.batches(5)])
    assert images.dtype == torch.float32 and images.shape == (18, 3, 32, 32)
    torch.testing.assert_close(images.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(images.std((0, 2, 3), correction=0), torch.ones(3))
    (augmented,) = [images for images, _ in data.train.epoch(18, stream(0, "order"), stream(0, "augmentation"))]
    assert augmented.shape == images.shape and not torch.equal(augmented, images)


def test_images_are_resized_as_pillow_does(tmp_path):
    root = make_folder(tmp_path / "data", size=24)
    data = load(name="image_folder", root=str(root), image_size=12)
    with Image.open(root / "train" / "class0" / "000.png") as image:
        expected = np.asarray(image.resize((12, 12), Image.Resampling.BILINEAR))
    assert np.array_equal(data.train.samples[0].numpy(), expected)


def pack(root, archive):
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as file:
            for path in sorted(root.rglob("*.png")):
                file.write(path, path.relative_to(root.parent))
    else:
        with tarfile.open(archive, f"w:{archive.suffix[1:]}") as file:
            file.add(root, root.name)
    return archive


@pytest.mark.parametrize("archive", ["images.tar.xz", "images.tar.gz", "images.zip"])
def test_an_archive_is_the_same_data_as_the_folder_in_it(tmp_path, archive):
    root = make_folder(tmp_path / "data")
    packed = section(name="image_folder", root=str(pack(root, tmp_path / archive)))
    moved = shutil.copytree(root, tmp_path / "elsewhere")
    assert in_keys(packed) == in_keys(section(name="image_folder", root=str(root)))
    assert in_keys(packed) == in_keys(section(name="image_folder", root=str(moved)))
    assert len(load(name="image_folder", root=packed.root).train) == 18


@pytest.mark.parametrize("name", ["images.tar.xz", "images.zip"])
def test_unpacking_and_reading_tell_how_far_they_are(tmp_path, name):
    archive = pack(make_folder(tmp_path / "data"), tmp_path / name)
    told = []
    find_content(section(name="image_folder", root=str(archive)), lambda done, total: told.append((done, total)))
    assert told[-36:] == [(number, 36) for number in range(1, 37)]  # files read
    unpacking = told[:-36]
    assert len(unpacking) >= 36
    assert len({total for _, total in unpacking}) == 1
    assert all(0 <= done <= total for done, total in unpacking)
    assert [done for done, _ in unpacking] == sorted(done for done, _ in unpacking)


def test_an_archive_that_would_write_elsewhere_is_refused(tmp_path):
    archive = tmp_path / "images.tar"
    with tarfile.open(archive, "w") as file:
        file.add(make_folder(tmp_path / "data"), "../../escaped")
    with pytest.raises(DataError, match=r"images\.tar: expected an archive .* outside"):
        in_keys(section(name="image_folder", root=str(archive)))
    zipped = tmp_path / "images.zip"
    with zipfile.ZipFile(zipped, "w") as file:
        file.writestr("../escaped/train/a/0.png", b"")
    with pytest.raises(DataError, match=r"images\.zip: expected an archive .* outside"):
        load(name="image_folder", root=str(zipped))
    assert not list(tmp_path.rglob("escaped"))
    assert not list((tmp_path / "cache" / "unpacked").glob("unfinished-*"))


def test_what_is_unpacked_is_for_whom_the_umask_lets_read_it(tmp_path):
    before = os.umask(0o027)
    try:
        with making(tmp_path / "unpacked") as folder:
            assert folder is not None
    finally:
        os.umask(before)
    assert (tmp_path / "unpacked").stat().st_mode & 0o777 == 0o750


def test_keys_hold_the_content_and_not_the_path(tmp_path):
    root = make_folder(tmp_path / "data")
    before = in_keys(section(name="image_folder", root=str(root), image_size=16))
    assert "root" not in before and len(before["content"]) == 64
    image = root / "test" / "class0" / "000.png"
    image.write_bytes(image.read_bytes() + b" ")
    assert in_keys(section(name="image_folder", root=str(root), image_size=16)) != before


def test_published_data_need_not_be_there_to_be_named():
    assert in_keys(section(name="cifar10", root="nowhere")) == {"name": "cifar10"}


DECODING = """
import sys, time
import numpy as np
from permask.training.data.pixels import Pixels, kept_pixels

def decode():
    print("decoded")
    time.sleep(0.5)
    split = np.zeros((2, 4, 4, 3), np.uint8), np.arange(2)
    return Pixels.of(split, split, classes=2)

sys.stdin.read()  # begins when all are there
assert kept_pixels({"name": "made"}, decode).train_images.shape == (2, 4, 4, 3)
"""


def test_images_are_decoded_once_by_any_number_of_processes():
    command = [sys.executable, "-c", DECODING]
    workers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for worker in workers:
        worker.stdin.close()
        worker.stdin = None
    said = [worker.communicate()[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 4
    assert "".join(said) == "decoded\n"


def test_decoded_images_need_their_folder_no_more(tmp_path):
    root = make_folder(tmp_path / "data")
    data = section(name="image_folder", root=str(root))
    content = find_content(data)
    decode_images(data, content)
    shutil.rmtree(root)
    assert len(load_data(**(data.model_dump() | {"content": content})).train) == 18


def test_progress_reaches_its_end(tmp_path):
    told = []
    data = section(name="image_folder", root=str(make_folder(tmp_path / "data")))
    content = find_content(data, lambda *step: told.append(step))
    assert told[-1] == (36, 36)
    decode_images(data, content, lambda *step: told.append(step))
    assert told[-1] == (36, 36) and len(told) > 36


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_truncated_image_is_named(tmp_path):
    root = make_folder(tmp_path / "data")
    truncate(root / "train" / "class1" / "003.png")
    with pytest.raises(DataError, match=r"class1/003\.png: expected an image, it cannot be decoded"):
        load(name="image_folder", root=str(root))
    assert not list((tmp_path / "cache" / "pixels").glob("[!.]*[!k]"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "data_batch_3").unlink(), r"data_batch_3: no such file"),
        (lambda folder: truncate(folder / "data_batch_3"), r"data_batch_3: damaged"),
        (lambda folder: (folder / "test_batch").write_bytes(pickle.dumps(print)), r"test_batch: damaged .*print"),
        (lambda folder: (folder / "test_batch").write_bytes(pickle.dumps({"data": 1})), r"test_batch: damaged"),
    ],
)
def test_a_damaged_file_of_cifar_is_named_and_runs_nothing(tmp_path, damage, message):
    root = make_cifar10(tmp_path / "data")
    damage(root / "cifar-10-batches-py")
    with pytest.raises(DataError, match=message):
        load(name="cifar10", root=str(root), published=False)


def test_a_file_that_is_not_the_published_one_is_refused(tmp_path):
    root = make_cifar10(tmp_path / "data")
    with pytest.raises(DataError, match=r"data_batch_1: not the file that is published as CIFAR10"):
        load(name="cifar10", root=str(root))


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "svhn"])
def test_missing_data_without_a_network_says_what_is_expected_where(tmp_path, name, monkeypatch):
    def no_network(*arguments, **options):
        raise OSError("Network is unreachable")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    with pytest.raises(DataError, match=r"cannot be downloaded .*Network is unreachable.*expected .* in ") as error:
        load(name=name, root=str(tmp_path / "data"))
    assert str(tmp_path / "data") in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: shutil.rmtree(root), r"no such file or folder"),
        (lambda root: shutil.rmtree(root / "test"), r"expected .*test/CLASS/IMAGE"),
        (lambda root: shutil.rmtree(root / "test" / "class1"), r"the same classes in both, only one has class1"),
        (lambda root: [path.unlink() for path in (root / "train" / "class0").iterdir()], r"class0: expected images"),
        (lambda root: Image.new("RGB", (9, 9)).save(root / "test" / "class0" / "x.png"), r"9×9 .*data\.image_size"),
    ],
)
def test_another_layout_is_told(tmp_path, change, message):
    root = make_folder(tmp_path / "data")
    change(root)
    with pytest.raises(DataError, match=message):
        load(name="image_folder", root=str(root))


def test_content_that_changed_since_it_was_stated_is_refused(tmp_path):
    root = make_folder(tmp_path / "data")
    with pytest.raises(DataError, match=r"its content is .*, the study expects 0000"):
        load(name="image_folder", root=str(root), content="0" * 64)


def test_subsets_are_balanced_nested_and_apart_from_what_is_held_out(tmp_path):
    root = str(make_folder(tmp_path / "data", images=20))
    whole = load(name="image_folder", root=root)
    small = load(name="image_folder", root=root, train_size=9, test_size=6)
    judged = load(name="image_folder", root=root, train_size=9, validation=12)
    rest = load(name="image_folder", root=root, validation=12)
    assert small.train.labels.bincount().tolist() == [3, 3, 3]
    assert small.test.labels.bincount().tolist() == [2, 2, 2]
    assert torch.equal(judged.train.samples, small.train.samples)
    assert judged.test.labels.bincount().tolist() == [4, 4, 4]
    assert (len(rest.train), len(rest.test)) == (48, 12)

    def distinct(*splits):
        return {image.numpy().tobytes() for split in splits for image in split.samples}

    assert distinct(rest.train, rest.test) == distinct(whole.train)
    assert not distinct(judged.test) & distinct(judged.train)
    with pytest.raises(DataError, match="at most 60"):
        load(name="image_folder", root=root, train_size=55, validation=6)


def test_a_balanced_order_takes_classes_in_turn():
    labels = torch.tensor([0] * 5 + [1] * 3 + [2])
    order = balanced_order(labels, stream(0, "split"))
    assert sorted(order.tolist()) == list(range(9))
    assert sorted(labels[order[:3]].tolist()) == [0, 1, 2]
    assert labels[order[:7]].bincount().tolist() == [3, 3, 1]
