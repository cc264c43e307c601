"""Charts that move: a slider for each number that a chart is drawn from."""

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets

from cachepool_lib.lab.charts import Chart


class Slider(ipywidgets.VBox):  # type: ignore[misc]
    """Controls above a picture, which is drawn anew when a control is let go.

    Beside the live view it shows as the picture and line of text of the first draw: where no kernel
    runs (on GitHub, in HTML, on slides) that is what is seen.
    """

    def __init__(self, draw: Callable[..., Chart], controls: Mapping[str, Sequence[Any]]):
        self._draw = draw
        self._controls = {
            name: ipywidgets.SelectionSlider(
                options=[(str(v) if isinstance(v, str) else f"{v:,}", v) for v in values],
                value=values[len(values) // 2],
                description=name.replace("_", " "),
                continuous_update=False,
                style={"description_width": "initial"},
            )
            for name, values in controls.items()
        }
        self._first = self._chart()
        # Aligned, or the box stretches the picture to its own width; with a margin, a narrow window
        # would cut it.
        self._image = ipywidgets.Image(
            value=self._first.png(),
            format="png",
            layout={"align_self": "flex-start", "margin": "0"},
        )
        super().__init__([*self._controls.values(), self._image])
        for control in self._controls.values():
            control.observe(self._redraw, names="value")

    def _chart(self) -> Chart:
        return self._draw(**{name: control.value for name, control in self._controls.items()})

    def _redraw(self, change: object) -> None:
        self._image.value = self._chart().png()

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle: dict[str, Any] = super()._repr_mimebundle_(**kwargs) or {}
        bundle["image/png"] = b64encode(self._first.png()).decode()
        bundle["text/plain"] = self._first.text
        return bundle

    def __repr__(self) -> str:
        return self._first.text


def slider(draw: Callable[..., Chart], **controls: Sequence[Any]) -> Slider:
    """Draw a chart from values that the reader picks: `slider(draw, room=[10, 100, 1000])`.

    Each control offers its values and begins with the middle one. *draw* is called with one value a
    control, by name, now and whenever a control is let go; it should take well under a second.
    """
    if not controls or not all(controls.values()):
        raise ValueError("slider() needs a control, and each control needs values")
    return Slider(draw, controls)
