"""Formats figures that occur both in the report and in its verdicts."""


def perplexity_text(value: float) -> str:
    """Return a perplexity with two decimals, or in exponential notation from a million upwards."""
    return f"{value:.2f}" if value < 1e6 else f"{value:.2e}"
