"""Of the tests themselves: a server that configures logging must not close the file in which pytest collects their output."""

from __future__ import annotations

import logging.config
import sys

import absl.logging


def test_logging_configured_anew__leaves_the_collected_output_open(capsys):
    stream = absl.logging.get_absl_handler().python_handler.stream
    assert stream is not sys.stderr  # capsys put another in its place: such a stream absl closes, unless it is the process' own
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})  # closes every handler that there is
    assert not stream.closed
