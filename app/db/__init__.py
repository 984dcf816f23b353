"""The database: engines and sessions, tables, ids, and the SQL that differs between SQLite and PostgreSQL. Contains no queries of the feature packages."""
