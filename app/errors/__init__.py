"""The errors that a caller sees: their codes, their texts in English and Chinese, and their JSON. Which route raises them is not decided here."""
