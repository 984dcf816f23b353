"""The database: engines and sessions, tables, ids, and the SQL that differs between SQLite and PostgreSQL. No queries of feature packages."""
