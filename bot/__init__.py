"""moa-bot: a chatbot in the terminal whose every answer is a Mixture of Agents (arXiv 2406.04692)."""

__version__ = "0.1.0"
