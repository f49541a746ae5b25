"""The process of a worker: predicts from memory that it maps, and forwards everything else to the writer."""
