"""``kwaflux install``: install the adapters into their hosts, and remove them."""
