"""What a site keeps on its disks: blobs, and (other files) its logs and state."""
