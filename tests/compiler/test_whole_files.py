"""Files that are there whole or not at all."""

import errno
import os
from pathlib import Path

import pytest

from snc.compiler.whole_files import whole_file


class TestWholeFile:
    def test_appears_when_the_block_ends(self, tmp_path: Path) -> None:
        with whole_file(tmp_path / "made") as file:
            file.write(b"all of it")
            assert not (tmp_path / "made").exists()
        assert (tmp_path / "made").read_bytes() == b"all of it"
        assert os.listdir(tmp_path) == ["made"]

    def test_leaves_what_was_there_when_the_block_fails(self, tmp_path: Path) -> None:
        (tmp_path / "made").write_bytes(b"before")
        with pytest.raises(ValueError, match="stop"), whole_file(tmp_path / "made") as file:
            file.write(b"half")
            raise ValueError("stop")
        assert (tmp_path / "made").read_bytes() == b"before"
        assert os.listdir(tmp_path) == ["made"]

    def test_an_error_names_the_file_that_was_asked_for(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError) as missing, whole_file(tmp_path / "no folder" / "made"):
            pass
        assert missing.value.filename == str(tmp_path / "no folder" / "made")
        with pytest.raises(OSError, match="No space left") as full, whole_file(tmp_path / "made") as file:
            file.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        assert full.value.filename == str(tmp_path / "made")
        assert not os.listdir(tmp_path)

    def test_errors_of_other_files_keep_their_names(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError) as missing, whole_file(tmp_path / "made"):
            (tmp_path / "other").open()
        assert missing.value.filename == str(tmp_path / "other")
