"""What routes share to read requests and write responses: bearer tokens, language, formats, ETags, ranges, paging, validation, OpenAPI. No route and no SQL."""
