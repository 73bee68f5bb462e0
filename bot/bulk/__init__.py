"""Many calls, resumable: what batches and evaluations share."""
