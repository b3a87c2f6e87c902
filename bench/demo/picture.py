"""The picture whose text is to be found; it is drawn, so that where the text is is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.demo.geometry import Quad
from bench.engines.base import require
from dispatch.operator import Array

__all__ = ["SIZE", "Drawn", "draw_boxes", "draw_picture"]

SIZE = (960, 640)
"""Width and height: multiples of 32, as the model wants them."""

PAPER, INK, RED, BLUE = (250, 247, 240), (38, 40, 46), (196, 52, 44), (32, 84, 147)
SAND, NIGHT, MINT, WHITE = (233, 221, 199), (28, 33, 48), (203, 226, 214), (255, 255, 255)
FOUND = (0, 168, 107)


@dataclass(frozen=True, slots=True)
class Text:
    """A line of text.

    Parameters
    ----------
    content
        What it says.
    x, y
        Its top left corner; of a turned line its centre.
    size
        Of the letters.
    colour
        Red, green, blue.
    degrees
        Anticlockwise; a turned line lies on a label.
    """

    content: str
    x: int
    y: int
    size: int
    colour: tuple[int, int, int]
    degrees: float = 0.0


LINES = (
    Text("HARBOUR MARKET", 54, 48, 60, INK),
    Text("Open every Saturday from eight", 56, 148, 34, BLUE),
    Text("Fresh bread", 74, 260, 44, INK),
    Text("3.20", 438, 260, 44, RED),
    Text("Goat cheese", 74, 340, 44, INK),
    Text("14.80", 418, 340, 44, RED),
    Text("Green olives", 74, 420, 44, INK),
    Text("6.50", 438, 420, 44, RED),
    Text("Ferry to the islands", 52, 548, 40, WHITE),
    Text("pier 4, leaves at 17:45", 560, 556, 28, SAND),
    Text("please bring your own bag", 622, 452, 22, INK),
    Text("HALF PRICE", 764, 274, 54, WHITE, 14.0),
)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture, and where its text is.

    Parameters
    ----------
    pixels
        Red, green, blue: uint8 [height, width, 3].
    boxes
        The corners of each line of text.
    texts
        What each line says.
    """

    pixels: Array
    boxes: tuple[Quad, ...]
    texts: tuple[str, ...]


def _pillow() -> tuple[Any, Any, Any]:
    return (
        require("PIL.Image", "demo"),
        require("PIL.ImageDraw", "demo"),
        require("PIL.ImageFont", "demo"),
    )


def draw_picture() -> Drawn:
    """Draw a market's poster; the same pixels each time with one version of Pillow."""
    image_module, draw_module, font_module = _pillow()
    image = image_module.new("RGB", SIZE, PAPER)
    draw = draw_module.Draw(image)
    _decorate(draw)
    boxes = []
    for line in LINES:
        font = font_module.load_default(line.size)
        if line.degrees:
            boxes.append(_draw_label(image, line, font, image_module, draw_module))
        else:
            draw.text((line.x, line.y), line.content, font=font, fill=line.colour)
            left, top, right, bottom = draw.textbbox((line.x, line.y), line.content, font=font)
            boxes.append(
                np.array([(left, top), (right, top), (right, bottom), (left, bottom)], float)
            )
    return Drawn(np.asarray(image), tuple(boxes), tuple(line.content for line in LINES))


def _decorate(draw: Any) -> None:
    """Draw what isn't text: a detector must tell it from text."""
    width, height = SIZE
    draw.rectangle((0, 520, width, height), fill=NIGHT)
    for i in range(24):
        draw.arc((i * 44 - 30, 506, i * 44 + 14, 534), 0, 180, fill=MINT, width=4)
    draw.rounded_rectangle((40, 226, 580, 488), 18, outline=SAND, width=4)
    for y in (322, 402):
        draw.line((74, y, 546, y), fill=SAND, width=2)
    draw.ellipse((668, 330, 728, 390), fill=(242, 196, 72))
    draw.ellipse((740, 352, 792, 404), fill=(120, 152, 72))
    draw.ellipse((808, 346, 862, 400), fill=(206, 92, 60))
    draw.polygon(((640, 410), (892, 410), (864, 440), (668, 440)), fill=(166, 124, 82))
    draw.ellipse((846, 30, 922, 106), fill=(246, 208, 96))


def _draw_label(image: Any, line: Text, font: Any, image_module: Any, draw_module: Any) -> Quad:
    """Draw a turned line on a coloured label; return its corners."""
    left, top, right, bottom = font.getbbox(line.content)
    wide, high, margin = right - left, bottom - top, 20
    label = image_module.new("RGBA", (int(wide) + 2 * margin, int(high) + 2 * margin), (0, 0, 0, 0))
    pen = draw_module.Draw(label)
    pen.rounded_rectangle((0, 0, label.width - 1, label.height - 1), 16, fill=(*RED, 255))
    pen.text((margin - left, margin - top), line.content, font=font, fill=(*line.colour, 255))
    turned = label.rotate(line.degrees, image_module.Resampling.BICUBIC, expand=True)
    image.paste(turned, (line.x - turned.width // 2, line.y - turned.height // 2), turned)
    angle = math.radians(-line.degrees)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    half = np.array([(-wide, -high), (wide, -high), (wide, high), (-wide, high)]) / 2
    return np.asarray(half @ turn + (line.x, line.y))


def draw_boxes(pixels: Array, boxes: Sequence[Quad], path: Any) -> None:
    """Draw boxes and their numbers into a copy of a picture and write it as PNG."""
    image_module, draw_module, font_module = _pillow()
    image = image_module.fromarray(pixels)
    draw = draw_module.Draw(image)
    font = font_module.load_default(15)
    for number, box in enumerate(boxes, 1):
        corners = [tuple(map(float, corner)) for corner in box]
        draw.line([*corners, corners[0], corners[1]], fill=FOUND, width=3, joint="curve")
        x, y = corners[0]
        place = (x, max(0.0, y - 18))
        left, top, right, bottom = draw.textbbox(place, str(number), font=font)
        draw.rectangle((left - 4, top - 2, right + 4, bottom + 2), fill=FOUND)
        draw.text(place, str(number), font=font, fill=WHITE)
    image.save(path, optimize=True)
