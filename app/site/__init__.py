"""Serves the web page and the examples. The page's source is in web/."""
