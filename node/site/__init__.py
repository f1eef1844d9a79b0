"""Where the core and the adapters meet: one site, put together from its folder."""
