"""The loops over examples: predicting and learning, compiled for each rule; lanes mixed; sums settled."""
