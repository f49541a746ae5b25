"""Learned models as files that others read: JSON, ONNX, and the text of Vowpal Wabbit."""
