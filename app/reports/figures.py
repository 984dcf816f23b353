"""Formats numbers that occur both in the report and in its verdicts."""


def perplexity_text(value: float) -> str:
    """Return a perplexity with two decimals, or in scientific notation if it is a million or more."""
    return f"{value:.2f}" if value < 1e6 else f"{value:.2e}"
