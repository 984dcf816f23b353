"""One file per revision, which describes its own tables: it must not import the models of the app, because they change later."""
