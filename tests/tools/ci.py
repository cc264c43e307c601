"""What takes too long for `make test` and is run by .ci/run all the same."""

import os

import pytest

in_ci = pytest.mark.skipif(
    os.environ.get("CACHEPOOL_CI_ALL") != "1", reason="takes long: .ci/run runs it"
)
