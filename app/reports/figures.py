"""Formats figures that occur both in the report and in the words of its verdicts."""


def perplexity_text(value: float) -> str:
    """Return a perplexity with two decimals; in exponential notation from a million on."""
    return f"{value:.2f}" if value < 1e6 else f"{value:.2e}"
