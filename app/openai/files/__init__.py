"""Files of OpenAI's API: the routes, the storage of uploads, and the files that jobs have written. The rules of uploaded files are in app/files."""
