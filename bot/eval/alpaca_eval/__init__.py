"""AlpacaEval 2.0: 805 instructions, one answer each, compared with GPT-4's by a judge."""
