"""Reports of a training: the interactive page, and the recorder that watches for it."""

from symprop.recorder import Recorder
from symprop.report.page import training_page

__all__ = ["Recorder", "training_page"]
