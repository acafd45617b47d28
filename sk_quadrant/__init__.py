"""Multi-label classification for scikit-learn in which the loss owns its link and its threshold."""

__version__ = "0.1.0.dev0"
