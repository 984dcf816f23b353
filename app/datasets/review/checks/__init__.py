"""The checks of a review, one module each. They see texts and rows, and know neither HTTP nor the database."""
