"""Folders of images."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from snc.compiler.data import images
from snc.compiler.data.arrays import ArrayDataSet
from snc.compiler.data.images import ENDINGS, decoded
from snc.compiler.data.open import open_data
from snc.ir.diagnostics import LimitExceeded, SncError, UnsafeInput, UsageError

from .files import whole, written

CROPPED = "crop=4"


def picture(seed: int, rows: int = 6, columns: int = 5) -> Image.Image:
    """Colours at random."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (rows, columns, 3)).astype(np.uint8))


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """Five images of three classes, in an order that is not that of their making."""
    for index, name in enumerate(("dog/b.png", "cat/2.png", "dog/a.bmp", "cat/10.PNG", "eel/x.ppm")):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(index).save(path)
    written(tmp_path / "data" / "cat" / ".hidden", b"")
    return tmp_path / "data"


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """Three images in one folder."""
    folder = tmp_path / "flat"
    folder.mkdir()
    for index, name in enumerate(("b.png", "a.png", "c.png")):
        picture(index).save(folder / name)
    return folder


class TestOrder:
    def test_folders_are_classes_in_sorted_order(self, classes: Path) -> None:
        inputs, labels = whole(open_data(classes), 2)
        assert labels is not None and labels.tolist() == [0, 0, 1, 1, 2]
        expected = [np.asarray(picture(seed)) for seed in (3, 1, 2, 0, 4)]
        assert np.array_equal(inputs[""], expected)

    def test_labels_in_a_table_go_by_name(self, flat: Path) -> None:
        for head in ("", "file,label\n"):
            written(flat / "labels.csv", f"{head}c.png,7\na.png, 3\nb.png,5\n".encode())
            inputs, labels = whole(open_data(flat), 2)
            assert labels is not None and labels.tolist() == [3, 5, 7]
            assert np.array_equal(inputs[""][0], np.asarray(picture(1)))

    def test_labels_in_a_list_go_by_order(self, flat: Path) -> None:
        written(flat / "labels.txt", b"3\n5\n7\n")
        assert whole(open_data(flat), 1)[1].tolist() == [3, 5, 7]

    def test_without_labels_there_are_none(self, flat: Path) -> None:
        assert open_data(flat).labels is None
        labels = written(flat.parent / "l.txt", b"0\n1\n2\n")
        assert open_data(flat, labels=labels).labels is not None

    @pytest.mark.parametrize(
        ("table", "message"),
        [
            ("a.png,1\nb.png,2", "no label for c.png"),
            ("a.png,1\nb.png,2\nc.png,3\nd.png,4", "a label for d.png, which is no image"),
            ("a.png,1\na.png,2\nc.png,3", "two lines for a.png"),
            ("a.png\nb.png,2\nc.png,3", "the line 'a.png'"),
            ("a.png,cat\nb.png,2\nc.png,3", "'cat' for sample 0"),
        ],
    )
    def test_tables_that_do_not_name_each_image_once(self, flat: Path, table: str, message: str) -> None:
        written(flat / "labels.csv", table.encode())
        with pytest.raises(UsageError, match=message):
            open_data(flat)

    def test_labels_in_two_places(self, flat: Path, classes: Path) -> None:
        labels = written(flat / "labels.txt", b"3\n5\n7\n")
        with pytest.raises(UsageError, match="labels in one place"):
            open_data(flat, labels=labels)
        with pytest.raises(UsageError, match="labels in one place"):
            open_data(classes, labels=labels)
        written(flat / "labels.csv", b"")
        with pytest.raises(UsageError, match="labels are given twice"):
            open_data(flat)
        written(classes / "labels.csv", b"")
        with pytest.raises(UsageError, match="labels are given twice"):
            open_data(classes)

    def test_folders_that_are_no_data(self, tmp_path: Path, classes: Path) -> None:
        (tmp_path / "empty").mkdir()
        with pytest.raises(UsageError, match="the folder has no images"):
            open_data(tmp_path / "empty")
        picture(0).save(classes / "stray.png")
        with pytest.raises(UsageError, match=r"images \(stray.png\) beside folders \(cat\)"):
            open_data(classes)
        (classes / "stray.png").rename(classes / "cat" / "stray.png")
        (classes / "cat" / "more").mkdir()
        with pytest.raises(UsageError, match="a folder within it: more"):
            open_data(classes)
        (classes / "cat" / "more").rename(classes / "fox")
        with pytest.raises(UsageError, match="no image"):
            open_data(classes)
        written(classes / "fox" / "notes.doc", b"")
        with pytest.raises(UsageError, match=r"notes\.doc"):
            open_data(classes)


class TestPixels:
    def test_steps_give_what_they_give_for_arrays(self, classes: Path) -> None:
        plain, labels = whole(open_data(classes), 5)
        for text in ("crop=4 scale=1/255 layout=nchw", "resize=3x4 flatten threshold=99", "mean=1,2,3"):
            data = open_data(classes, preprocess=text)
            np.savez(classes.parent / "x.npz", x=plain[""], labels=labels)
            again = open_data(classes.parent / "x.npz", preprocess=f"given=nhwc {text}")
            assert data.digest() == again.digest()
            assert np.array_equal(whole(data, 2)[0][""], whole(data, 3)[0][""])

    def test_color_says_how_they_are_decoded(self, flat: Path) -> None:
        gray, _ = whole(open_data(flat, preprocess="color=gray"), 2)
        assert np.array_equal(gray[""][0, :, :, 0], np.asarray(picture(1).convert("L")))
        assert open_data(flat, preprocess="color=gray flatten").fields[""].shape == (30,)
        picture(1).convert("L").save(flat / "a.png")
        assert open_data(flat).fields[""].shape == (6, 5, 3)

    def test_images_of_different_sizes_need_a_step(self, flat: Path) -> None:
        picture(5, rows=9, columns=7).save(flat / "d.png")
        data = open_data(flat)
        with pytest.raises(UsageError, match=r"9x7, the first has 6x5") as caught:
            list(data.batches(2))
        assert caught.value.diagnostics[0].node == str(flat / "d.png")
        for text in ("crop=4", "resize=8 crop=6", "resize=3x2"):
            data = open_data(flat, preprocess=f"{text} scale=1/255 layout=nchw")
            (inputs, _), (one, _) = whole(data, 4), whole(data, 1)
            assert inputs[""].shape[1:] == data.fields[""].shape and np.array_equal(inputs[""], one[""])
        with pytest.raises(UsageError, match="one size"):
            open_data(flat, preprocess="flatten crop=4")

    def test_imagenet_is_the_usual_preprocessing(self, flat: Path) -> None:
        big = picture(7, rows=300, columns=400)
        for name in ("a.png", "b.png", "c.png"):
            big.save(flat / name)
        (batch, *_) = open_data(flat, preprocess="imagenet").batches(1)
        resized = np.asarray(big.resize((341, 256), Image.Resampling.BILINEAR))
        left = round((341 - 224) / 2)
        cut = resized[16:240, left : left + 224].astype(np.float32) / np.float32(255)
        mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
        assert np.array_equal(batch.inputs[""][0], np.moveaxis((cut - mean) / std, 2, 0))

    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
    def test_every_mode_of_8_bits_becomes_rgb(self, tmp_path: Path, mode: str) -> None:
        image = picture(0).convert(mode)
        path = tmp_path / ("x.jpg" if mode == "CMYK" else "x.png")
        image.save(path)
        assert decoded(path, "rgb").shape == (6, 5, 3) and decoded(path, "gray").shape == (6, 5, 1)
        if mode != "CMYK":
            assert np.array_equal(decoded(path, "rgb"), np.asarray(image.convert("RGB")))


class TestDamage:
    def test_images_that_would_fill_memory_are_not_decoded(self, flat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(images, "MAX_PIXELS", 29)
        with pytest.raises(LimitExceeded, match="6x5 pixels"):
            open_data(flat)

    def test_a_small_file_with_a_huge_image(self, tmp_path: Path) -> None:
        for side, name in ((9000, "a.png"), (20000, "b.png")):
            (tmp_path / name[0]).mkdir()
            Image.new("1", (side, side)).save(tmp_path / name[0] / name)
            with pytest.raises(LimitExceeded, match="too large"):
                open_data(tmp_path / name[0])

    def test_pixels_of_16_bits_are_refused(self, tmp_path: Path) -> None:
        Image.fromarray(np.arange(30, dtype=np.uint16).reshape(6, 5)).save(tmp_path / "x.png")
        with pytest.raises(UsageError, match="8 bits a channel"):
            open_data(tmp_path)

    def test_files_that_are_something_else(self, tmp_path: Path) -> None:
        for content in (b"", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"II*\0\x08\0\0\0", b"GIF89a"):
            written(tmp_path / "x.png", content)
            with pytest.raises(UnsafeInput, match="an image: PNG"):
                open_data(tmp_path)
        (tmp_path / "x.png").unlink()
        os.mkfifo(tmp_path / "x.png")
        with pytest.raises(UnsafeInput, match="no regular file"):
            open_data(tmp_path)

    @given(st.sampled_from(["png", "jpeg", "bmp", "ppm", "webp"]), st.integers(0, 2**32 - 1))
    def test_damaged_images_give_samples_or_errors_of_ours(
        self, tmp_path_factory: pytest.TempPathFactory, kind: str, seed: int
    ) -> None:
        assert f".{kind}" in ENDINGS
        rng = np.random.default_rng(seed)
        folder = tmp_path_factory.mktemp("damaged")
        picture(seed % 7, 20, 30).save(folder / f"x.{kind}")
        data = bytearray((folder / f"x.{kind}").read_bytes())
        for at in rng.integers(0, len(data), 3):
            data[at] = rng.integers(256)
        written(folder / f"x.{kind}", bytes(data[: int(rng.integers(1, len(data) + 1))]))
        try:
            whole(open_data(folder, preprocess=CROPPED), 1)
        except SncError as error:
            assert error.exit_code in (2, 5, 6)

    def test_arrays_are_read_without_pillow(self) -> None:
        program = "import sys, snc.compiler.data.open, snc.compiler.data.arrays; sys.exit('PIL' in sys.modules)"
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3] / "src")}
        assert subprocess.run([sys.executable, "-c", program], env=environment).returncode == 0

    def test_without_pillow_the_error_names_the_extra(self, flat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "PIL.Image", None)
        with pytest.raises(UsageError, match=r"pip install 'snc\[images\]'"):
            open_data(flat)
        assert ArrayDataSet({"": np.zeros((2, 3))}).count == 2
