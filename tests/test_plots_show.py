import base64
import io
import json

import matplotlib.pyplot as plt
import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from PIL import Image

from medlab import plots


@pytest.fixture
def shown(monkeypatch):
    """Show a figure as a notebook would; returns the one output."""
    monkeypatch.setattr(InteractiveShell, "initialized", lambda: True)

    def show(figure, alt="A line."):
        with capture_output() as captured:
            plots.show(figure, alt=alt)
        (output,) = captured.outputs
        return output

    return show


def noise_figure():
    figure, axis = plt.subplots(figsize=(6, 6))
    axis.imshow(np.random.default_rng(0).random((400, 400, 3)))
    return figure


def test_the_description_goes_where_pages_and_terminals_look(shown):
    figure, axis = plt.subplots()
    axis.plot([1, 2])
    output = shown(figure, "A rising line.")
    assert output.metadata["image/png"]["alt"] == "A rising line."
    assert output.data["text/plain"] == "A rising line."
    json.dumps(output.data)  # as it is stored


def test_a_figure_is_sharp_and_shown_at_its_own_size(shown):
    figure, axis = plt.subplots(figsize=(6, 4))
    axis.plot([1, 2])
    output = shown(figure)
    picture = Image.open(io.BytesIO(base64.b64decode(output.data["image/png"])))
    assert picture.width > 700  # 6 inches, less the white that is cut off
    assert picture.width / output.metadata["image/png"]["width"] == pytest.approx(1.6, abs=0.01)


def test_a_figure_full_of_detail_still_takes_at_most_100_kb(shown):
    png = base64.b64decode(shown(noise_figure()).data["image/png"])
    assert len(png) <= 100_000
    picture = Image.open(io.BytesIO(png))
    assert picture.width > 150
    assert picture.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


def test_a_figure_is_closed_shown_or_not(shown):
    shown(plt.figure())
    with pytest.raises(ValueError, match="alt must describe the figure"):
        plots.show(plt.figure(), alt="  ")
    assert plt.get_fignums() == []


def test_a_figure_that_can_not_be_made_small_is_refused(monkeypatch):
    monkeypatch.setattr(plots, "PNG_LIMIT_BYTES", 10_000)
    with pytest.raises(ValueError, match=r"still takes \d+ KB at 40 dots per inch, the limit is 10 KB: draw fewer"):
        plots.show(noise_figure(), alt="Noise.")


def test_the_same_figure_is_the_same_file(shown):
    def png():
        figure, axis = plt.subplots()
        axis.plot([1, 2])
        return shown(figure).data["image/png"]

    assert png() == png()


def test_a_plain_script_gets_the_description(capsys):
    plots.show(plt.figure(), alt="An empty page.")
    assert capsys.readouterr().out == "An empty page.\n"
