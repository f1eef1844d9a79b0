"""Adapters for the network: control connections and gossip over libp2p, bytes over HTTPS."""
