"""Code that routes share to read requests and write responses: bearer tokens, language, formats, ETags, ranges, paging, validation, OpenAPI. No routes and no SQL."""
