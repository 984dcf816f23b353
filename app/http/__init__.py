"""Code that routes share to read requests and write responses: bearer tokens, language, formats, ETags, ranges, paging, validation, OpenAPI. Contains no routes and no SQL."""
