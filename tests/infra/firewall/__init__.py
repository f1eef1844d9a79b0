"""Networks with firewalls: namespaces joined by a bridge, filters, bad links, a proxy. Needs root."""
