"""Steps as Workflows of Argo, whose Jobs are the Kubernetes runner's."""
