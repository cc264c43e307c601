"""Promises of the slider."""

import base64

import pytest

from cachepool_lib import lab
from cachepool_lib.lab.charts import Chart


def draw(room: int, policy: str = "LRU") -> Chart:
    chart = lab.charts.loads_per_second({policy: [room, 2]})
    return Chart(chart.figure, f"{policy} at {room}")


def test_a_slider_shows_the_picture_of_its_first_draw() -> None:
    """Where no kernel runs, the picture and its line of text are there all the same."""
    slider = lab.slider(draw, room=[10, 100, 1000], policy=["FIFO", "LRU"])
    bundle = slider._repr_mimebundle_()
    assert repr(slider) == bundle["text/plain"] == "LRU at 100"
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_letting_go_of_a_control_draws_anew() -> None:
    """The picture follows the control; what is stored stays the first draw."""
    slider = lab.slider(draw, room=[10, 100, 1000])
    control, image = slider.children
    before = image.value
    control.value = 1000
    assert image.value != before
    assert repr(slider) == "LRU at 100"
    assert not control.continuous_update


def test_a_slider_needs_values() -> None:
    """Nothing to choose from is an error at once."""
    for controls in ({}, {"room": []}):
        with pytest.raises(ValueError, match="needs values"):
            lab.slider(draw, **controls)
