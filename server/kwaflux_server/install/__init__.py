"""``kwaflux install``: the adapters put into their hosts, and taken out again."""
