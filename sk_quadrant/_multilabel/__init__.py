"""Labels and answers of any multi-label classifier, whatever they look like."""
