"""Texts that mean something to SQL, a shell, a template, a path, a page or a terminal, and any others."""

from hypothesis import strategies as st

ODD = (
    "'; DROP TABLE raw; --",
    "' OR '1'='1",
    '" OR ""="',
    "') FROM read_text('/etc/passwd') --",
    "$$||1||$$",
    "\\'",
    "../../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "/etc/passwd",
    "....//tokens.json",
    "a\x00b",
    "{{8191*8209}}",
    "${jndi:x}",
    "{0.__class__}",
    "%(station)s",
    "%s%n",
    "<script>alert(1)</script>",
    "a\n2026-01-01 00:00:00,000 ERROR forged",
    "a\r\nx-forged: 1",
    "\x1b[2J\x1b]0;forged\x07",
    "\u2028\u202e\ufeff",
    "*",
    "$(touch forged)",
)
odd_texts = (
    st.sampled_from(ODD) | st.builds("{}{}".format, st.sampled_from(ODD), st.text(max_size=6)) | st.text(max_size=20)
)
