"""Targets and weights: encodings of y, sample and class weights, stratification, responses of classifiers.

NumPy only; used by the estimators, metrics, displays, Dask and torchrun.
"""
