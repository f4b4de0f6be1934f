"""Reports of a training: the interactive page, and the recorder that watches for it."""

from symprop.report.page import training_page
from symprop.report.recorder import Recorder

__all__ = ["Recorder", "training_page"]
