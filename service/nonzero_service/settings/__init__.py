"""The settings: what they are, where they come from, and how a model that is made by them learns."""

from nonzero_service.settings.settings import PREFIX, Settings
from nonzero_service.settings.types import MAX_SLICED_FIELDS, Bits, LearningRate, Recalibrating, Retention

__all__ = ["MAX_SLICED_FIELDS", "PREFIX", "Bits", "LearningRate", "Recalibrating", "Retention", "Settings"]
