"""Request and response handling that routes share: tokens, formats, ETags, paging, … Contains no routes or SQL."""
