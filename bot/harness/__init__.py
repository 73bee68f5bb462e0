"""The mixture as a model in evaluation frameworks."""
