"""Serves the web page and the examples. The page's source code is in web/."""
