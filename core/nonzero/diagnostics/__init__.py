"""What a model can say of itself: what made a prediction, how sure it is, whether it still learns."""
