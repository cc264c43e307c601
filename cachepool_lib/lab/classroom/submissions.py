"""What was handed in: a folder, or an archive, of NAME.ipynb and NAME/….ipynb."""

import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import nbformat
from nbformat import NotebookNode

LARGEST = 50 * 2**20  # bytes of one notebook; the course's own, with charts, have one or two


def handed_in(place: Path) -> dict[str, list[NotebookNode | str]]:
    """Name of each student → their notebooks; of one that can't be read, why not.

    *place* is a folder, a .zip or a .tar (.gz and so on); nothing is unpacked to the disk. If all
    stands in one folder that is called as the archive is, that folder is no student.
    FileNotFoundError or ValueError if there is no such place, or no notebook in it.
    """
    found: dict[str, list[NotebookNode | str]] = {}
    files = {path: text for path, text in _files(place) if _counts(path)}
    tops = {path.parts[0] for path in files}
    stem = place.name.partition(".")[0]
    wrapped = tops == {stem} and all(len(path.parts) > 1 for path in files)
    for path, text in sorted(files.items()):
        parts = path.parts[1:] if wrapped else path.parts
        name = parts[0] if len(parts) > 1 else path.stem
        found.setdefault(name, []).append(_notebook(path, text))
    if not found:
        raise ValueError(f"No notebook in {place}: NAME.ipynb or NAME/….ipynb is looked for.")
    return found


def _counts(path: PurePosixPath) -> bool:
    """Not what Jupyter and macOS put beside a notebook."""
    return path.suffix == ".ipynb" and not any(p.startswith((".", "__MACOSX")) for p in path.parts)


def _files(place: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    if place.is_dir():
        for path in place.rglob("*.ipynb"):
            if path.is_file():
                with path.open("rb") as file:
                    yield PurePosixPath(path.relative_to(place).as_posix()), file.read(LARGEST + 1)
    elif not place.exists():
        raise FileNotFoundError(f"There is no {place}: name a folder or an archive.")
    elif zipfile.is_zipfile(place):
        with zipfile.ZipFile(place) as archive:
            for info in archive.infolist():
                if not info.is_dir():
                    with archive.open(info) as member:
                        yield PurePosixPath(info.filename), member.read(LARGEST + 1)
    elif tarfile.is_tarfile(place):
        with tarfile.open(place) as tar:
            for one in tar:
                if one.isfile() and (content := tar.extractfile(one)):
                    yield PurePosixPath(one.name), content.read(LARGEST + 1)
    else:
        raise ValueError(f"{place} is neither a folder nor a zip or tar archive.")


def _notebook(path: PurePosixPath, text: bytes) -> NotebookNode | str:
    if len(text) > LARGEST:
        return f"{path} has more than {LARGEST // 2**20} MB: clear its outputs."
    try:
        notebook: NotebookNode = nbformat.reads(text.decode("utf-8"), as_version=4)
        for cell in notebook.cells:  # valid JSON may be anything
            _ = cell.cell_type, cell.source + "", list(cell.metadata.get("tags", []))
    except Exception as error:  # whatever an editor, or a full disk, has left of it
        return f"{path} can't be read as a notebook: {type(error).__name__}"
    return notebook
