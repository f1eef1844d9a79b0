"""A namespace of a Kubernetes cluster in which a site's steps run."""
