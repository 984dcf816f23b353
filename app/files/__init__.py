"""Files in OpenAI's shape. Each refers to a dataset; the rows and their rules are in datasets/, and the routes in openai/."""
