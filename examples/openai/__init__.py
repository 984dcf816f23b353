"""Examples for users of OpenAI's clients; they import nothing of Stepline."""
