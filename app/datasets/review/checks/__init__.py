"""The checks of a review, one module each. They process texts and rows, and use neither HTTP nor the database."""
