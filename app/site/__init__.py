"""The web page and the examples as files. The page's source is in web/."""
