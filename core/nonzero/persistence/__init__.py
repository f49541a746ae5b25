"""How a model is kept: copied while it learns, shared between processes, saved and restored."""
