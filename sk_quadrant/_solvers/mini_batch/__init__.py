"""The mini-batch solvers: batches, steps, schedules, and the skorch net around them."""
