"""The texts of the terminal client in English and Chinese. No code: `words.py` chooses the language and fills in values."""
