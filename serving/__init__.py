"""The Litestar server: it answers with the newest release and swaps to a newer one while requests flow."""
