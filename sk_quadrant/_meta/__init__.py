"""Parts of the meta-estimators: held-out scores, cuts and calibrators of any multi-label classifier."""
