"""What the library logs can be shown in a cell, and is not written beside it."""

import logging

import pytest

from cachepool_lib import lab


def test_lines_are_kept_and_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    """Warnings and worse; afterwards all is as before."""
    logger = logging.getLogger("cachepool_lib")
    before = logger.handlers, logger.propagate
    with pytest.raises(ValueError), lab.logged() as lines:
        logger.info("nothing of interest")
        logger.warning("%s held on", "somebody")
        raise ValueError
    assert lines == ["somebody held on"]
    assert (logger.handlers, logger.propagate) == before
    assert capsys.readouterr() == ("", "")
