"""Files in OpenAI's format. Each refers to a dataset; the rows and their rules are in datasets/, and the routes in openai/."""
