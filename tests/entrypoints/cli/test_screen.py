"""The bar at the bottom, as a terminal of 80 columns shows it."""

import io

from rich.console import Console

from bottega.entrypoints.cli.screen import progress_bar


def test_long_words_give_way_to_the_clock_in_a_narrow_terminal() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None)
    bar = progress_bar(console=console)
    bar.add_task("T2 Quantities: conversion, arithmetic, comparison: writing (openrouter/a-model)", total=14)
    with console.capture() as drawn:
        console.print(bar.get_renderable())
    (line,) = drawn.get().splitlines()
    assert "0:00:00 T2" in line
    assert line.rstrip().endswith("…")
