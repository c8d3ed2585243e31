"""What several rooms of tests share: small networks, one scene put together by hand, audits, pages."""
