"""The pruning panel: a share of the channels for each layer, its accuracy and its cost."""
