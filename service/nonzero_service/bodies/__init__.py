"""The bytes of requests' bodies -> batches, and what came of them -> the bytes of answers."""
